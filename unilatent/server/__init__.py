"""The HTTP server of `unilatent serve`: text and speech for the OpenAI client, curl and the page."""
