import type { Person } from "~/backend/backend";
import type { Mention } from "./drafts.svelte";
import { folded } from "./rooms.svelte";

export type Asked = { /** Position of the @ in the text. */ from: number; to: number; text: string };

const LONGEST = 40;

/** The mention being typed at the caret: an @ at the start of a word and what follows it. */
export function mentionAt(text: string, caret: number): Asked | null {
  const before = text.slice(Math.max(0, caret - LONGEST), caret);
  const at = before.lastIndexOf("@");
  if (at < 0) return null;
  const word = before.slice(at + 1);
  if (word.includes("\n") || word.startsWith(" ") || word.split(" ").length > 3) return null;
  if (at > 0 && !/[\s(]/u.test(before[at - 1] ?? " ")) return null;
  return { from: caret - word.length - 1, to: caret, text: word };
}

/** People whose name has a word that begins so; at most six, exact beginnings first. */
export function suggest(people: readonly Person[], typed: string): Person[] {
  const wanted = folded(typed);
  const ranked = people
    .map((person) => ({ person, rank: rank(folded(person.name), wanted) }))
    .filter(({ rank: found }) => found >= 0)
    .toSorted((one, other) => one.rank - other.rank || one.person.name.localeCompare(other.person.name));
  // A name typed in full has been chosen already.
  if (ranked.some(({ person }) => `${folded(person.name)} ` === wanted)) return [];
  return ranked.slice(0, 6).map(({ person }) => person);
}

export function insertMention(text: string, asked: Asked, name: string): { text: string; caret: number } {
  const written = `@${name} `;
  const after = text.slice(asked.to).replace(/^ /u, "");
  return { text: text.slice(0, asked.from) + written + after, caret: asked.from + written.length };
}

/** Whom the finished text still mentions, each once. */
export function mentionsIn(text: string, mentions: readonly Mention[]): string[] {
  const kept = mentions.filter((mention) => text.includes(`@${mention.name}`));
  return [...new Set(kept.map((mention) => mention.id))];
}

function rank(name: string, wanted: string): number {
  if (name.startsWith(wanted)) return 0;
  return name.split(/[\s\-.]+/u).some((word) => word.startsWith(wanted)) ? 1 : -1;
}
