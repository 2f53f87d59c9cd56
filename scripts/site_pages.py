"""Hooks of mkdocs: documents of the top folder become pages of the site, and links between all of them keep working.

On GitHub a link leads from file to file. Here the same link is followed in the repository, and leads to the page of
the file that it names. A link to another file of the repository is reported, and `mkdocs build --strict` fails.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

logger = get_plugin_logger("site_pages")

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "DECISIONS.md": "decisions.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the site by their files in the repository; those in docs/ have the same names in both."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the top folder."""
    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with links between files turned into links between pages."""
    source = {there: here for here, there in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda link: _target(link[1], source), markdown)


def _target(link: str, source: str) -> str:
    """The page that a link of the file `source` leads to; both are named from the top of the repository."""
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if file in PAGES:
        return PAGES[file]
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    logger.warning(f"{source}: the link {link} leads out of the site; name the file in code style instead")
    return link
