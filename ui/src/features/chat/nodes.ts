import type { Node } from "~/backend/backend";

/** The words of a rich text without its form, for copying, quoting and reading aloud. */
export function plainText(nodes: readonly Node[]): string {
  return gather(nodes, 0).replace(/\n{3,}/gu, "\n\n").trim();
}

/** Deeper nesting than this is drawn and read as plain words. */
export const DEEPEST = 24;

const BLOCKS = new Set(["p", "pre", "blockquote", "ul", "ol", "li", "h"]);

function gather(nodes: readonly Node[], depth: number): string {
  let text = "";
  for (const node of nodes) {
    if (node.tag === "text") text += node.text;
    else if (node.tag === "break") text += "\n";
    else if (node.tag === "mention") text += `@${node.name}`;
    else if (depth >= DEEPEST) continue;
    else if (node.tag === "link") text += gather(node.children, depth + 1);
    else {
      const inner = gather(node.children, depth + 1);
      text += BLOCKS.has(node.name) ? `\n${inner}\n` : inner;
    }
  }
  return text;
}

/** Only what Rust agrees to open elsewhere; anything else is drawn as words. */
export function isOpenable(href: string): boolean {
  return /^(https?:\/\/|mailto:)/iu.test(href);
}
