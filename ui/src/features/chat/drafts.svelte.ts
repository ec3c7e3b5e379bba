import type { Message } from "~/backend/backend";

export type Mention = { id: string; name: string };

export class Draft {
  text = $state("");
  reply = $state.raw<Message | null>(null);
  mentions = $state.raw<readonly Mention[]>([]);
  /** A pasted picture that waits for Send. */
  picture = $state.raw<File | null>(null);

  get empty(): boolean {
    return this.text.trim() === "" && this.picture === null;
  }

  clear(): void {
    this.text = "";
    this.reply = null;
    this.mentions = [];
    this.picture = null;
  }
}

/** What was begun in each room. In memory only: message text is never stored in the clear. */
export class Drafts {
  #byRoom = new Map<string, Draft>();

  in(room: string): Draft {
    let draft = this.#byRoom.get(room);
    if (draft === undefined) {
      draft = new Draft();
      this.#byRoom.set(room, draft);
    }
    return draft;
  }

  clear(): void {
    this.#byRoom.clear();
  }
}
