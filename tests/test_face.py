"""The record of a face that is left out."""

import pickle

from flmd.face import SkipFace, Skipped


def test_a_face_left_out_says_why_and_where():
    fault = SkipFace("not_a_number", "x is 'a', expected a number")
    assert str(fault) == "x is 'a', expected a number"
    assert fault.at("a.xml:3") == Skipped("not_a_number", "a.xml:3", "x is 'a', expected a number")


def test_the_line_is_named_where_only_the_raiser_knows_it():
    assert SkipFace("bad_line", "three cells", 4).at("a.pts").where == "a.pts:4"


def test_it_crosses_a_process_boundary_whole():
    fault = pickle.loads(pickle.dumps(SkipFace("bad_line", "three cells", 4)))
    assert (fault.reason, fault.what, fault.line) == ("bad_line", "three cells", 4)
