import type { Backend, ChatStatus, Stop } from "~/backend/backend";

const UNKNOWN: ChatStatus = {
  sync: "starting",
  since: 0,
  retryAt: null,
  problem: null,
  unread: 0,
  mentions: 0,
  invitations: 0,
  allRooms: false,
  recovery: "unknown",
  verified: false,
  queued: 0,
  storeReset: false,
};

/** How chat itself is doing, and who types where. */
export class ChatState {
  status = $state.raw<ChatStatus>(UNKNOWN);
  #typing = $state.raw<ReadonlyMap<string, string[]>>(new Map());

  constructor(private readonly backend: Backend) {}

  typingIn(room: string): string[] {
    return this.#typing.get(room) ?? [];
  }

  start(): Stop {
    let told = false;
    const stopStatus = this.backend.chat.onStatus((status) => {
      told = true;
      this.status = status;
    });
    const stopTyping = this.backend.chat.onTyping(({ room, people }) => {
      const next = new Map(this.#typing);
      if (people.length === 0) next.delete(room);
      else next.set(room, people);
      this.#typing = next;
    });
    void this.backend.chat.status().then((answer) => {
      if (!told && answer.status === "ok") this.status = answer.data;
    });
    return () => {
      stopStatus();
      stopTyping();
      this.status = UNKNOWN;
      this.#typing = new Map();
    };
  }
}
