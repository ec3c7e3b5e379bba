import type { Backend, ListDiff, Problem, Room, Stop } from "~/backend/backend";
import { DiffMismatch, applyDiffs } from "./diff";

/** Who neither moves the pointer nor clicks for this long is not about to hit a row, ms. */
const STILL = 1500;

export type RoomFilter = "all" | "unread" | "people" | "channels";

/** All joined and invited rooms, most recent first, as the stream of Rust builds them. */
export class Rooms {
  list = $state.raw<readonly Room[]>([]);
  loaded = $state(false);
  problem = $state.raw<Problem | null>(null);
  /** The room whose newest message somebody is looking at: what comes there is not news, although the servers do not know yet. */
  reading = $state<string | null>(null);
  /** How much of what counts as unread is being read at this moment. */
  readonly beingRead = $derived.by(() => {
    const room = this.reading === null ? undefined : this.byId.get(this.reading);
    return room === undefined || room.muted ? 0 : Math.max(room.unread, Number(room.marked));
  });
  readonly byId = $derived(new Map(this.list.map((room) => [room.id, room])));
  readonly invitations = $derived(this.list.filter((room) => room.invited));
  /** Who wrote to you: rooms with something new, mentions first. */
  readonly forYou = $derived(
    this.list
      .filter((room) => !room.invited && (room.mentions > 0 || (!room.muted && (room.unread > 0 || room.marked))))
      .toSorted((one, other) => Number(other.mentions > 0) - Number(one.mentions > 0) || other.at - one.at),
  );

  #stop: Stop | null = null;
  #generation = 0;
  /** What the shell told; `list` shows it at once, or when the pointer rests. */
  #told: readonly Room[] = [];
  #held: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly backend: Backend) {}

  /** Subscribes; a second call while subscribed does nothing. */
  async start(): Promise<void> {
    if (this.#generation % 2 === 1) return;
    const generation = ++this.#generation;
    const answer = await this.backend.chat.rooms((diffs) => {
      if (generation === this.#generation) this.#take(diffs);
    });
    if (generation !== this.#generation) {
      if (answer.status === "ok") answer.data();
      return;
    }
    if (answer.status === "ok") {
      this.#stop = answer.data;
      this.problem = null;
    } else {
      this.problem = answer.error;
      this.loaded = true;
      this.#generation += 1;
    }
  }

  stop(): void {
    if (this.#generation % 2 === 1) this.#generation += 1;
    this.#stop?.();
    this.#stop = null;
    this.#told = [];
    this.#show();
    this.loaded = false;
    this.problem = null;
  }

  /**
   * The list stands still while somebody aims at a row and presses: a message would move it away from under the
   * pointer, and a click counts only where press and release meet the same row.
   */
  hold(): void {
    clearTimeout(this.#held);
    this.#held = setTimeout(() => this.#show(), STILL);
  }

  /** The button is up again; the click itself comes right after. */
  release(): void {
    if (this.#held === undefined) return;
    clearTimeout(this.#held);
    this.#held = setTimeout(() => this.#show());
  }

  /** What is new in a room for somebody who looks at the window now. */
  news(room: Room): Pick<Room, "unread" | "mentions" | "marked"> {
    return room.id === this.reading ? { unread: 0, mentions: 0, marked: false } : room;
  }

  #show(): void {
    clearTimeout(this.#held);
    this.#held = undefined;
    this.list = this.#told;
  }

  #take(diffs: ListDiff<Room>[]): void {
    try {
      this.#told = applyDiffs(this.#told, diffs);
      if (this.#held === undefined || !this.loaded) this.#show();
      this.loaded = true;
    } catch (mismatch) {
      if (!(mismatch instanceof DiffMismatch)) throw mismatch;
      void this.backend.uiError("diff.mismatch", "rooms");
      this.stop();
      void this.start();
    }
  }
}

/** Letters without accents or case, so that "helene" finds "Hélène". */
export function folded(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}

export function matches(room: Room, words: string): boolean {
  const name = folded(room.name);
  return folded(words)
    .split(/\s+/u)
    .every((word) => name.includes(word));
}

export type RoomRow =
  | { type: "group"; id: "invitations" | "favourites" | "recent" | "found" }
  | { type: "room"; id: string; room: Room };

/** The list as it is drawn: headings and rooms in one sequence, which a virtual list needs. */
export function roomRows(list: readonly Room[], filter: RoomFilter, words: string): RoomRow[] {
  const wanted = list.filter(
    (room) =>
      (words.trim() === "" || matches(room, words.trim())) &&
      (filter === "all" ||
        (filter === "unread" && (room.unread > 0 || room.mentions > 0 || room.marked || room.invited)) ||
        (filter === "people" && room.kind === "direct") ||
        (filter === "channels" && room.kind === "channel")),
  );
  const rows: RoomRow[] = [];
  const group = (id: "invitations" | "favourites" | "recent" | "found", rooms: Room[]) => {
    if (rooms.length === 0) return;
    rows.push({ type: "group", id });
    for (const room of rooms) rows.push({ type: "room", id: room.id, room });
  };
  if (words.trim() !== "") {
    group("found", wanted);
    return rows;
  }
  group("invitations", wanted.filter((room) => room.invited));
  group("favourites", wanted.filter((room) => !room.invited && room.favourite));
  group("recent", wanted.filter((room) => !room.invited && !room.favourite));
  return rows;
}
