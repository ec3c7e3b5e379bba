// The items of a timeline as Rust would build them: day lines, new marker, start.
import type { Item } from "../backend";
import type { Conversation } from "./conversations";

export function lines(talk: Conversation, from: number, newFrom: string | null): Item[] {
  const items: Item[] = [];
  if (from === 0) items.push({ kind: "start", id: "start" });
  let day = "";
  for (const message of talk.items.slice(from)) {
    const itsDay = new Date(message.at).toDateString();
    if (itsDay !== day) items.push({ kind: "day", id: `day ${itsDay}`, at: message.at });
    day = itsDay;
    items.push(message);
    if (message.eventId !== null && message.eventId === newFrom && message !== talk.items.at(-1)) {
      items.push({ kind: "newMarker", id: "new" });
    }
  }
  return items;
}
