// As much of the browser's EventSource as stream.js uses, with an Authorization header, which that one can't send. It tries again by itself as
// the standard says: after a connection that was lost, with Last-Event-ID; never after an answer that is no stream.

const RETRY_MS = 1_000; // until the server says otherwise

export class KeyedSource extends EventTarget {
  /** @param {string} address  @param {string} key */
  constructor(address, key) {
    super();
    Object.assign(this, { address, key, lastId: "", retry: RETRY_MS, readyState: EventSource.CONNECTING });
    this.connect();
  }

  close() {
    this.readyState = EventSource.CLOSED;
    clearTimeout(this.timer);
    this.stop?.abort();
  }

  async connect() {
    const stop = (this.stop = new AbortController());
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${this.key}`, ...(this.lastId ? { "Last-Event-ID": this.lastId } : {}) };
    try {
      const response = await fetch(this.address, { headers, cache: "no-store", signal: stop.signal });
      if (response.status !== 200 || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
        stop.abort();
        return this.over(EventSource.CLOSED);
      }
      this.readyState = EventSource.OPEN;
      this.dispatchEvent(new Event("open"));
      await this.read(response.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch {
      // Closed by us, or lost: told below.
    }
    if (this.readyState === EventSource.CLOSED) return;
    this.timer = setTimeout(() => this.connect(), this.retry);
    this.over(EventSource.CONNECTING);
  }

  over(state) {
    if (this.readyState === EventSource.CLOSED) return;
    this.readyState = state;
    this.dispatchEvent(new Event("error"));
  }

  /** Reads messages: lines of a field and its value, each message ended by an empty line. */
  async read(reader) {
    let rest = "";
    let message = { event: "", data: [] };
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.readyState === EventSource.CLOSED) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line) this.field(line, message);
        else {
          if (message.data.length) this.dispatchEvent(new MessageEvent(message.event || "message", { data: message.data.join("\n"), lastEventId: this.lastId }));
          message = { event: "", data: [] };
          if (this.readyState === EventSource.CLOSED) return;
        }
      }
    }
  }

  field(line, message) {
    const at = line.indexOf(":");
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (name === "data") message.data.push(value);
    else if (name === "event") message.event = value;
    else if (name === "id") this.lastId = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}
