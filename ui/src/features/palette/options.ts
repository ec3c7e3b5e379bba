// What the palette offers for some typed words, best first.
import type { Person, Room } from "~/backend/backend";
import { folded } from "~/features/chat/rooms.svelte";

export type Action = { id: string; label: string; keywords?: string; run: () => void };

export type Option =
  | { type: "room"; key: string; room: Room }
  | { type: "person"; key: string; person: Person }
  | { type: "action"; key: string; action: Action };

const MOST_ROOMS = 8;
const MOST_PEOPLE = 6;

/** 0 is the whole beginning, 1 the beginning of a word, 2 somewhere inside, -1 not at all. */
export function rank(text: string, words: string): number {
  const where = folded(text);
  const wanted = folded(words.trim());
  if (wanted === "") return 1;
  if (where.startsWith(wanted)) return 0;
  const parts = wanted.split(/\s+/u);
  const names = where.split(/[\s\-_.]+/u);
  if (parts.every((part) => names.some((name) => name.startsWith(part)))) return 1;
  return parts.every((part) => where.includes(part)) ? 2 : -1;
}

export function options(
  words: string,
  rooms: readonly Room[],
  people: readonly Person[],
  actions: readonly Action[],
): Option[] {
  const foundRooms = best(rooms.filter((room) => !room.invited), words, (room) => room.name).slice(0, MOST_ROOMS);
  const withRoom = new Set(foundRooms.map((room) => room.person));
  const foundPeople = best(people, words, (person) => `${person.name} ${person.function ?? ""}`)
    .filter((person) => !withRoom.has(person.id))
    .slice(0, MOST_PEOPLE);
  const foundActions = best(actions, words, (action) => `${action.label} ${action.keywords ?? ""}`);
  return [
    ...foundRooms.map((room): Option => ({ type: "room", key: `room ${room.id}`, room })),
    ...foundPeople.map((person): Option => ({ type: "person", key: `person ${person.id}`, person })),
    ...foundActions.map((action): Option => ({ type: "action", key: `action ${action.id}`, action })),
  ];
}

function best<T>(things: readonly T[], words: string, text: (thing: T) => string): T[] {
  return things
    .map((thing) => ({ thing, rank: rank(text(thing), words) }))
    .filter(({ rank: found }) => found >= 0)
    .toSorted((one, other) => one.rank - other.rank)
    .map(({ thing }) => thing);
}
