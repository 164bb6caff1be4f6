"""What several annotation formats share: streams, lists, sizes, videos."""
