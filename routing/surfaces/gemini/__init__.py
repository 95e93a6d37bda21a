"""Google's Gemini API: the model and the action stand in the path."""
