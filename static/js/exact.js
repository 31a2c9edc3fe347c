// JSON with its digits: what is read and written again is the number that was there. A JavaScript number would make 12 of 12.0 and
// 3544790567247868000 of 3544790567247868102. Pure.

// Only a text in which one of these stands can hold a number that JavaScript writes in another way; most hold none and are read by the browser.
const SUSPECT = /\d{16}|\.\d*0(?!\d)|\d[eE]|-0(?![.\d])|\.0{6}/;

/** A number that JavaScript would write in another way. It counts as its number and reads as it was written. */
export class Digits extends Number {
  #text;

  constructor(text) {
    super(text);
    this.#text = text;
  }

  toString() {
    return this.#text;
  }
}

/** JSON text that is sent as it stands: what somebody typed. */
export class JsonText {
  constructor(text) {
    this.text = text;
  }
}

export const isNumber = (value) => typeof value === "number" || value instanceof Digits;

/** Whether two numbers are the same; whole ones to their last digit. */
export function sameNumber(a, b) {
  if (Number(a) !== Number(b)) return false;
  return !(WHOLE.test(a) && WHOLE.test(b)) || String(a) === String(b) || Number(a) === 0;
}

const WHOLE = /^-?\d+$/;

/** As `JSON.parse`, but for numbers that it would change: those are `Digits`. Raises SyntaxError. */
export function parse(text) {
  const read = JSON.parse(text);
  return SUSPECT.test(text) ? new Reader(text).value() : read;
}

const SPACE = 0x20; // the last of the characters that may stand between tokens
const NUMBER = /[-+.\deE]+/y;

/** Reads JSON that is known to be well made. */
class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /** The next character that is no space. */
  get next() {
    while (this.text.charCodeAt(this.at) <= SPACE) this.at += 1;
    return this.text[this.at];
  }

  value() {
    switch (this.next) {
      case "{":
        return this.object();
      case "[":
        return this.list();
      case '"':
        return this.string();
      case "t":
        return this.word(true);
      case "f":
        return this.word(false);
      case "n":
        return this.word(null);
      default:
        return this.number();
    }
  }

  object() {
    const made = {};
    this.at += 1;
    while (this.next !== "}") {
      if (this.text[this.at] === ",") this.at += 1;
      const key = (this.next, this.string());
      this.at += this.next.length; // the colon
      if (key === "__proto__") Object.defineProperty(made, key, { value: this.value(), writable: true, enumerable: true, configurable: true });
      else made[key] = this.value();
    }
    this.at += 1;
    return made;
  }

  list() {
    const made = [];
    this.at += 1;
    while (this.next !== "]") {
      if (this.text[this.at] === ",") this.at += 1;
      made.push(this.value());
    }
    this.at += 1;
    return made;
  }

  string() {
    const from = this.at;
    let end = from;
    let slashes;
    do {
      end = this.text.indexOf('"', end + 1);
      for (slashes = 0; this.text[end - 1 - slashes] === "\\"; ) slashes += 1;
    } while (slashes % 2);
    this.at = end + 1;
    const inner = this.text.slice(from + 1, end);
    return inner.includes("\\") ? JSON.parse(`"${inner}"`) : inner;
  }

  word(value) {
    this.at += String(value).length;
    return value;
  }

  number() {
    const from = this.at;
    NUMBER.lastIndex = from;
    NUMBER.test(this.text);
    this.at = NUMBER.lastIndex;
    const written = this.text.slice(from, this.at);
    const number = Number(written);
    return String(number) === written ? number : new Digits(written);
  }
}

/**
 * As `JSON.stringify`, with the digits that numbers came with and with JSON text as it stands. `most`: it may stop once it has so many
 * characters.
 */
export function stringify(value, { indent = 0, most = Infinity } = {}) {
  let made = "";
  const line = (depth) => (indent ? `\n${" ".repeat(indent * depth)}` : "");

  function write(one, depth) {
    if (made.length > most) return;
    if (one instanceof JsonText) made += one.text;
    else if (one instanceof Digits) made += String(one);
    else if (one === null || typeof one !== "object") made += JSON.stringify(one) ?? "null";
    else if (Array.isArray(one)) many("[", "]", one.map((inner) => ["", inner]), depth);
    else many("{", "}", Object.entries(one).flatMap(([key, inner]) => (inner === undefined ? [] : [[`${JSON.stringify(key)}:${indent ? " " : ""}`, inner]])), depth);
  }

  function many(open, close, members, depth) {
    made += open;
    members.forEach(([name, inner], index) => {
      if (made.length > most) return;
      made += `${index ? "," : ""}${line(depth + 1)}${name}`;
      write(inner, depth + 1);
    });
    made += (members.length ? line(depth) : "") + close;
  }

  write(value, 0);
  return made;
}
