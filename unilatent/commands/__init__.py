"""The verbs, one file for each wing and each leaf. A verb parses, calls and prints."""
