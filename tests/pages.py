"""HTML pages as tests see them."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags with their attributes, all text outside of <style>, and tags that are not closed in order.

    `scripts` has the content of each <script>, which is no part of the text.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open, self.broken, self.scripts = [], "", [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")
        if tag not in ("meta", "img", "source", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] != ["style"]:
            text = self.text[:-1] if data.startswith(",") else self.text  # which goes with the name before it
            self.text = text + " ".join(data.split()) + " "

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def told(self):
        """What the page's script is told."""
        return json.loads(self.scripts[0])
