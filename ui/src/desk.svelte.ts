// All wiring in one place: the states of the features around one backend.
import { createContext } from "svelte";
import type { Backend, SignOutReport, Stop } from "~/backend/backend";
import { Drafts } from "~/features/chat/drafts.svelte";
import { Rooms } from "~/features/chat/rooms.svelte";
import { ChatState } from "~/features/chat/status.svelte";
import { SessionState } from "~/features/identity/session.svelte";
import { ConnectionState } from "~/features/network/connection.svelte";
import { SettingsState } from "~/features/settings/settings.svelte";
import { Notices } from "~/features/window/notices.svelte";
import { Whereabouts } from "~/features/window/whereabouts.svelte";

export class Desk {
  readonly session: SessionState;
  readonly connection: ConnectionState;
  readonly settings: SettingsState;
  readonly chat: ChatState;
  readonly rooms: Rooms;
  readonly drafts = new Drafts();
  readonly notices = new Notices();
  readonly whereabouts = new Whereabouts();
  paletteOpen = $state(false);
  /** Which side of the recovery key is being dealt with, if any. */
  recovery = $state<"create" | "enter" | "reset" | null>(null);
  /** What the last sign-out could and could not undo, until it has been read. */
  signedOut = $state.raw<SignOutReport | null>(null);
  #ready = false;

  constructor(readonly backend: Backend) {
    this.session = new SessionState(backend);
    this.connection = new ConnectionState(backend);
    this.settings = new SettingsState(backend);
    this.chat = new ChatState(backend);
    this.rooms = new Rooms(backend);
  }

  start(): Stop {
    const stops = [
      this.settings.start(),
      this.session.start(),
      this.connection.start(),
      this.backend.onNavigate((to) => this.whereabouts.follow(to)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  /** What only exists while somebody is signed in. */
  startSignedIn(): Stop {
    const stopChat = this.chat.start();
    void this.rooms.start();
    return () => {
      stopChat();
      this.rooms.stop();
      this.drafts.clear();
      this.notices.clear();
      this.whereabouts.forget();
      this.paletteOpen = false;
      this.recovery = null;
    };
  }

  /** Tells Rust, once, that the first real content has been painted. */
  painted(): void {
    if (this.#ready) return;
    this.#ready = true;
    // Two frames: the first carries the change, the second follows its painting.
    requestAnimationFrame(() => requestAnimationFrame(() => void this.backend.uiReady()));
  }
}

export const [useDesk, provideDesk] = createContext<Desk>();
