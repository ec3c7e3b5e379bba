import type { LastMessage, Room } from "~/backend/backend";
import { m } from "~/paraglide/messages";

/** The line under a room's name. */
export function lastLine(room: Room): string {
  const last = room.last;
  if (last === null) return room.topic ?? "";
  const text = what(last);
  if (last.mine) return m.last_mine({ text });
  if (room.kind === "direct" || last.sender === null) return text;
  return m.last_other({ name: last.sender, text });
}

function what(last: LastMessage): string {
  switch (last.kind) {
    case "text":
      return last.text;
    case "image":
      return last.text === "" ? m.last_image() : m.last_image_named({ name: last.text });
    case "file":
      return last.text === "" ? m.last_file() : m.last_file_named({ name: last.text });
    case "encrypted":
      return m.last_encrypted();
    case "redacted":
      return m.last_redacted();
    case "other":
      return last.text === "" ? m.last_other_kind() : last.text;
  }
}

/** "Nathalie écrit", "Nathalie et Pierre écrivent", "3 personnes écrivent". */
export function typingLine(people: readonly string[]): string {
  const [one, two] = people;
  if (one === undefined) return "";
  if (two === undefined) return m.typing_one({ name: one });
  if (people.length === 2) return m.typing_two({ one, two });
  return m.typing_many({ count: people.length });
}
