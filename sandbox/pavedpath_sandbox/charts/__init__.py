"""A chart repository that speaks ChartMuseum's API: index, download, upload, deletion, behind basic authentication."""
