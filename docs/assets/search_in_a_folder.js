// Search in pages that were opened from a folder. There a browser starts no worker, so the script of
// the worker runs in a frame, which speaks with the page by the same messages. As between workers, a
// message is a copy, and arrives later, never within the call that sends it.
const messageOf = (data) => new MessageEvent("message", { data: structuredClone(data) });

if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script src="${new URL(address, location.href).href}"><\/script>`;
      this.frame.addEventListener("load", () => this.begin());
      document.documentElement.append(this.frame);
    }
    begin() {
      // The script sends by `postMessage` of its window.
      this.frame.contentWindow.postMessage = (data) => {
        const message = messageOf(data);
        setTimeout(() => this.onmessage && this.onmessage(message));
      };
      const waiting = this.waiting;
      this.waiting = null;
      waiting.forEach((data) => this.postMessage(data));
    }
    postMessage(data) {
      if (this.waiting) {
        this.waiting.push(data);
      } else {
        const message = messageOf(data);
        setTimeout(() => this.frame.contentWindow && this.frame.contentWindow.dispatchEvent(message));
      }
    }
    terminate() {
      this.frame.remove();
    }
  };
}
