// Browsers start no worker for a page that is a file. There, the search's script runs in a frame in its place.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.early = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      this.frame.srcdoc = "";
      this.frame.onload = () => this.start(address);
      document.body.append(this.frame);
    }
    start(address) {
      const inside = this.frame.contentWindow;
      inside.postMessage = data => setTimeout(() => this.onmessage?.({data}));
      const script = inside.document.createElement("script");
      script.src = address;
      script.onload = () => {
        this.postMessage = data => setTimeout(() => inside.onmessage({data}));
        this.early.forEach(this.postMessage);
      };
      inside.document.body.append(script);
    }
    postMessage(data) {
      this.early.push(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}

// What scrolls sideways can be reached, and so moved, with the keyboard; a table that does has room for its words.
const reach = () => {
  for (const each of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    each.classList.remove("too-wide");
    const wide = each.scrollWidth > each.clientWidth;
    each.classList.toggle("too-wide", wide);
    each.toggleAttribute("tabindex", wide);
    if (wide) each.tabIndex = 0;
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);
