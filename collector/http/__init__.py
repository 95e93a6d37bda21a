"""What all paths of the collector do alike with a request: read its body, know a page of ours, log a refused credential."""
