"""Names that fairseq gives to items and files."""

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""Items 0 to 3 of every dictionary, which its file leaves out."""


def dictionary_file(language: str) -> str:
    """The file with the dictionary of a language, in a folder that `fairseq-preprocess` wrote."""
    return f"dict.{language}.txt"
