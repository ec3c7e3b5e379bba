import type { Backend, Item, ListDiff, Message, Problem, Room } from "~/backend/backend";
import { DiffMismatch, applyDiffs } from "./diff";

/** Messages of one author closer together than this are drawn as one. */
const SAME_BREATH = 5 * 60_000;

/** One open conversation: the items of Rust's timeline and what paging back does. */
export class Timeline {
  items = $state.raw<readonly Item[]>([]);
  #told: readonly Item[] = [];
  /** The room as it was when opened; the room list has the live one. */
  room = $state.raw<Room | null>(null);
  canWrite = $state(true);
  opened = $state(false);
  problem = $state.raw<Problem | null>(null);
  reachedStart = $state(false);
  pagingBack = $state(false);
  backProblem = $state.raw<Problem | null>(null);
  /** The last change added items above what was there: a virtual list must keep its place. */
  grewAbove = $state(false);

  #handle: number | null = null;
  #closed = false;
  #attempt = 0;

  constructor(
    private readonly backend: Backend,
    readonly roomId: string,
  ) {}

  async open(): Promise<void> {
    const attempt = ++this.#attempt;
    this.problem = null;
    const answer = await this.backend.chat.openTimeline(this.roomId, (diffs) => {
      if (!this.#closed && attempt === this.#attempt) this.#take(diffs);
    });
    if (answer.status === "ok" && (this.#closed || attempt !== this.#attempt)) {
      void this.backend.chat.closeTimeline(answer.data.timeline);
      return;
    }
    if (this.#closed) return;
    if (answer.status === "ok") {
      this.#handle = answer.data.timeline;
      this.room = answer.data.room;
      this.canWrite = answer.data.canWrite;
    } else {
      this.problem = answer.error;
    }
    this.opened = true;
  }

  /** Asks for older messages; one request at a time, none once the start is there. */
  async back(): Promise<void> {
    if (this.#handle === null || this.pagingBack || this.reachedStart) return;
    this.pagingBack = true;
    this.backProblem = null;
    const answer = await this.backend.chat.back(this.#handle);
    this.pagingBack = false;
    if (answer.status === "ok") this.reachedStart = answer.data.reachedStart;
    else this.backProblem = answer.error;
  }

  close(): void {
    this.#closed = true;
    if (this.#handle !== null) void this.backend.chat.closeTimeline(this.#handle);
    this.#handle = null;
  }

  #take(diffs: ListDiff<Item>[]): void {
    try {
      const next = applyDiffs(this.#told, diffs);
      const before = this.#told.at(-1);
      this.grewAbove = before !== undefined && next.length > this.#told.length && next.at(-1)?.id === before.id;
      this.#told = next;
      this.items = once(next);
    } catch (mismatch) {
      if (!(mismatch instanceof DiffMismatch)) throw mismatch;
      void this.backend.uiError("diff.mismatch", "timeline");
      if (this.#handle !== null) void this.backend.chat.closeTimeline(this.#handle);
      this.#handle = null;
      this.#told = [];
      this.items = [];
      void this.open();
    }
  }
}

/** Whether this message continues the one above it, so that name and picture need not be repeated. */
export function continues(above: Item | undefined, message: Message): boolean {
  return (
    above?.kind === "message" &&
    above.author.id === message.author.id &&
    message.at - above.at < SAME_BREATH &&
    message.at >= above.at &&
    message.reply === null &&
    emote(above) === emote(message)
  );
}

function emote(message: Message): boolean {
  return message.body.type === "text" && message.body.emote;
}

/**
 * Each message once. The SDK (0.18) enters what was just sent by itself, and where the server's own copy of it arrives in
 * that moment, both stay in its list.
 */
function once(items: readonly Item[]): readonly Item[] {
  const last = new Map<string, number>();
  let twice = false;
  items.forEach((item, at) => {
    if (item.kind !== "message" || item.eventId === null) return;
    twice ||= last.has(item.eventId);
    last.set(item.eventId, at);
  });
  if (!twice) return items;
  return items.filter((item, at) => item.kind !== "message" || item.eventId === null || last.get(item.eventId) === at);
}
