// A backend in memory: the whole interface runs on it in a browser, for component tests and for
// looking at every state. It behaves like the program (snapshots, diffs, local echo, paging,
// offline queue) but knows nobody and sends nothing anywhere. Never part of the app's bundle.
import type {
  Answer,
  Backend,
  ChatStatus,
  Connection,
  Item,
  ListDiff,
  Message,
  Navigate,
  Problem,
  Result,
  Room,
  Session,
  SettingsView,
  Stop,
  TypingChanged,
} from "./backend";
import { author, me, myself, organisation, people } from "./fake/people";
import { conversations, manyRooms, message, olderTalk, said, withLast, type Conversation } from "./fake/conversations";
import { lines } from "./fake/lines";

class Told<T> {
  #to = new Set<(value: T) => void>();
  on = (told: (value: T) => void): Stop => {
    this.#to.add(told);
    return () => this.#to.delete(told);
  };
  tell(value: T): void {
    for (const told of this.#to) told(value);
  }
}

export function problem(code: string, data: Record<string, string> = {}): Problem {
  return { code, data, logId: "7f3a-21", retry: { kind: "permanent" } };
}

type Open = { id: number; talk: Conversation; from: number; newFrom: string | null; items: Item[]; tell: (diffs: ListDiff<Item>[]) => void };

export class FakeBackend implements Backend {
  /** Answers of single calls, by name, that shall fail: `failing.set("find", problem(…))`. */
  readonly failing = new Map<string, Problem>();
  /** Names of the calls made, oldest first. */
  readonly calls: string[] = [];
  delay: number;
  /** Items that one answer of the timeline holds. */
  page = 30;
  talks: Conversation[];
  sessionNow: Session;
  connectionNow: Connection;
  statusNow: ChatStatus;
  settingsNow: SettingsView;
  readOnly = new Set<string>();
  offline = false;

  #sessions = new Told<Session>();
  #connections = new Told<Connection>();
  #statuses = new Told<ChatStatus>();
  #typing = new Told<TypingChanged>();
  #settings = new Told<SettingsView>();
  #navigations = new Told<Navigate>();
  #rooms = new Told<ListDiff<Room>[]>();
  #open = new Map<number, Open>();
  #next = 1;
  #queue: { talk: Conversation; echo: Message }[] = [];

  constructor(
    readonly now: () => number = () => Date.now(),
    delay = 40,
  ) {
    this.delay = delay;
    const at = now();
    this.talks = conversations(at);
    this.sessionNow = { state: "signedIn", me, organisation, problem: null };
    this.connectionNow = connected(at);
    this.statusNow = {
      sync: "live",
      since: at - 3_600_000,
      retryAt: null,
      problem: null,
      unread: 0,
      mentions: 0,
      invitations: 0,
      allRooms: true,
      recovery: "notSetUp",
      verified: true,
      queued: 0,
      storeReset: false,
    };
    this.#count();
    this.settingsNow = {
      values: { language: "system", theme: "system", notifications: true, notificationContent: false, doNotDisturbUntil: null, startAtLogin: false, closeToTray: true },
      managed: {},
      systemLanguage: "fr",
    };
  }

  // ---- what a test or the address bar may do

  setSession(session: Session): void {
    this.sessionNow = session;
    this.#sessions.tell(session);
  }

  setConnection(connection: Connection): void {
    this.connectionNow = connection;
    this.#connections.tell(connection);
  }

  setStatus(part: Partial<ChatStatus>): void {
    this.statusNow = { ...this.statusNow, ...part };
    this.#statuses.tell(this.statusNow);
  }

  setSettings(view: SettingsView): void {
    this.settingsNow = view;
    this.#settings.tell(view);
  }

  goOffline(): void {
    this.offline = true;
    const at = this.now();
    this.setConnection({
      ...this.connectionNow,
      overall: "offline",
      since: at,
      services: this.connectionNow.services.map((service) => ({ ...service, since: at, status: { state: "unreachable", reason: "timeout", retryAt: at + 12_000 } })),
    });
    this.setStatus({ sync: "offline", since: at, retryAt: at + 12_000 });
  }

  goOnline(): void {
    this.offline = false;
    this.setConnection(connected(this.now()));
    this.setStatus({ sync: "live", since: this.now(), retryAt: null, queued: 0 });
    for (const { talk, echo } of this.#queue.splice(0)) this.#arrive(talk, echo);
  }

  receive(roomId: string, by: string, words: string): Message {
    const talk = this.#talk(roomId);
    const received = message(author(by), this.now(), said(words));
    talk.items.push(received);
    talk.room = { ...talk.room, unread: talk.room.unread + 1, mentions: talk.room.mentions + (received.mentionsMe ? 1 : 0) };
    this.#changed(talk);
    return received;
  }

  type(roomId: string, names: string[]): void {
    this.#typing.tell({ room: roomId, people: names });
  }

  navigate(to: Navigate): void {
    this.#navigations.tell(to);
  }

  // ---- Backend

  session: Backend["session"] = {
    state: () => this.#answer("state", () => this.sessionNow),
    onChange: this.#sessions.on,
    find: (address) =>
      this.#answer("find", () => {
        if (address.includes("inconnu")) throw problem("organisation.notFound");
        if (address.includes("motdepasse")) return { ...organisation, name: "Maison Médicale du Parc", signIn: "password" as const, secondFactor: null, help: null };
        if (address.includes("ancien")) return { ...organisation, stale: true };
        return organisation;
      }),
    begin: () =>
      this.#answer("begin", () => {
        this.setSession({ state: "browser", organisation, since: this.now(), url: "https://auth.saint-elme.example/oauth2/authorize?client_id=cordee" });
        return null;
      }),
    cancel: () =>
      this.#answer("cancel", () => {
        this.setSession({ state: "signedOut", address: me.email, problem: null });
        return null;
      }),
    password: (_address, _user, password) =>
      this.#answer("password", () => {
        if (password === "faux") throw problem("signIn.wrongPassword");
        this.setSession({ state: "completing", organisation });
        setTimeout(() => this.setSession({ state: "signedIn", me, organisation, problem: null }), this.delay * 20);
        return null;
      }),
    signOut: () =>
      this.#answer("signOut", () => {
        this.setSession({ state: "signedOut", address: me.email, problem: null });
        return { revoked: true, notRevoked: ["chatDevice" as const], wiped: true };
      }),
    retryKeyring: () => this.#answer("retryKeyring", () => null),
  };

  connection: Backend["connection"] = {
    state: () => this.#answer("connection", () => this.connectionNow),
    onChange: this.#connections.on,
    retry: () =>
      this.#answer("retry", () => {
        if (!this.offline) this.setConnection(connected(this.now()));
        return null;
      }),
    openPortal: () => this.#answer("openPortal", () => null),
  };

  chat: Backend["chat"] = {
    status: () => this.#answer("status", () => this.statusNow),
    onStatus: this.#statuses.on,
    onTyping: this.#typing.on,
    rooms: async (told) => {
      const stop = this.#rooms.on(told);
      const answer = await this.#answer("rooms", () => stop);
      if (answer.status === "ok") told([{ op: "reset", values: this.#sorted() }]);
      else stop();
      return answer;
    },
    openTimeline: (roomId, told) =>
      this.#answer("openTimeline", () => {
        const talk = this.#talk(roomId);
        const from = Math.max(0, talk.items.length - this.page);
        const open: Open = { id: this.#next++, talk, from, newFrom: talk.room.unread > 0 ? talk.readTo : null, items: [], tell: told };
        open.items = lines(talk, from, open.newFrom);
        this.#open.set(open.id, open);
        told([{ op: "reset", values: open.items }]);
        return { timeline: open.id, room: talk.room, canWrite: !this.readOnly.has(roomId) };
      }),
    back: (timeline) =>
      this.#answer("back", () => {
        const open = this.#open.get(timeline);
        if (!open) throw problem("chat.roomUnknown");
        open.from = Math.max(0, open.from - this.page);
        const older = lines(open.talk, open.from, open.newFrom);
        const diffs: ListDiff<Item>[] = [];
        // The day at the top may go on above: its line moves up, as it does in Rust.
        const known = new Set(open.items.map((item) => item.id));
        const added = older.filter((item) => !known.has(item.id));
        const top = open.items[0];
        if (top?.kind === "day" && older.some((item) => item.id === top.id)) diffs.push({ op: "popFront" });
        const moved = diffs.length > 0 && top ? older.slice(0, added.length + 1) : added;
        for (const item of moved.toReversed()) diffs.push({ op: "pushFront", value: item });
        open.items = older;
        open.tell(diffs);
        return { reachedStart: open.from === 0 };
      }),
    closeTimeline: (timeline) =>
      this.#answer("closeTimeline", () => {
        this.#open.delete(timeline);
        return null;
      }),
    send: (roomId, draft) =>
      this.#answer("send", () => {
        const talk = this.#talk(roomId);
        const to = talk.items.find((item) => item.eventId === draft.replyTo);
        const reply = to ? { eventId: to.eventId ?? "", author: to.author, text: to.body.type === "text" ? wordsOf(to) : "" } : null;
        this.#echo(talk, message(myself, this.now(), said(draft.text), { eventId: null, reply }));
        return null;
      }),
    sendFiles: (roomId, paths) =>
      this.#answer("sendFiles", () => {
        for (const path of paths) {
          const name = path.split("/").at(-1) ?? path;
          this.#echo(this.#talk(roomId), message(myself, this.now(), { type: "file", name, mime: "application/octet-stream", size: 1_204_000, media: `fake:${name}`, caption: null }, { eventId: null }));
        }
        return null;
      }),
    pickFiles: (roomId) => this.chat.sendFiles(roomId, ["/documents/protocole.pdf"]),
    sendBytes: (roomId, name, mime, bytes) =>
      this.#answer("sendBytes", () => {
        const body = { type: "image" as const, name, mime, size: bytes.length, width: 640, height: 400, src: `data:${mime};base64,${bytes}`, media: "fake:image", caption: null, tooLarge: false };
        this.#echo(this.#talk(roomId), message(myself, this.now(), body, { eventId: null }));
        return null;
      }),
    retry: (roomId, item) =>
      this.#answer("retryMessage", () => {
        const talk = this.#talk(roomId);
        const echo = talk.items.find((known) => known.id === item);
        if (echo) this.#replace(talk, echo, { sending: { state: "sending", sentBytes: null, totalBytes: null } }, true);
        return null;
      }),
    discard: (roomId, item) =>
      this.#answer("discard", () => {
        const talk = this.#talk(roomId);
        talk.items = talk.items.filter((known) => known.id !== item);
        this.#changed(talk);
        return null;
      }),
    typing: () => this.#answer("typing", () => null),
    markRead: (roomId) =>
      this.#answer("markRead", () => {
        const talk = this.#talk(roomId);
        talk.readTo = talk.items.at(-1)?.eventId ?? null;
        if (talk.room.unread === 0 && talk.room.mentions === 0 && !talk.room.marked) return null;
        talk.room = { ...talk.room, unread: 0, mentions: 0, marked: false };
        this.#tellRooms();
        return null;
      }),
    favourite: (roomId, on) =>
      this.#answer("favourite", () => {
        const talk = this.#talk(roomId);
        talk.room = { ...talk.room, favourite: on };
        this.#tellRooms();
        return null;
      }),
    join: (roomId) =>
      this.#answer("join", () => {
        const talk = this.#talk(roomId);
        talk.room = { ...talk.room, invited: false, at: this.now() };
        this.#tellRooms();
        return null;
      }),
    leave: (roomId) =>
      this.#answer("leave", () => {
        this.talks = this.talks.filter((talk) => talk.room.id !== roomId);
        this.#tellRooms();
        return null;
      }),
    people: (term) => this.#answer("people", () => people.filter((person) => person.name.toLowerCase().includes(term.toLowerCase()))),
    direct: (userId) =>
      this.#answer("direct", () => {
        const known = this.talks.find((talk) => talk.room.person === userId);
        if (known) return known.room.id;
        const person = people.find((one) => one.id === userId);
        const first = this.talks[0];
        if (!person || !first) throw problem("chat.forbidden");
        const room: Room = { ...first.room, id: `!new${this.#next++}`, name: person.name, kind: "direct", person: userId, favourite: false, unread: 0, mentions: 0, topic: null, last: null, members: 2, at: this.now() };
        this.talks.unshift({ room, items: [], notices: [], readTo: null });
        this.#tellRooms();
        return room.id;
      }),
    members: () => this.#answer("members", () => [{ id: me.userId, name: me.name, avatar: null, function: me.function }, ...people]),
    saveMedia: () => this.#answer("saveMedia", () => true),
    openMedia: () => this.#answer("openMedia", () => null),
    createRecovery: () => this.#answer("createRecovery", () => "EsTc 8Kd2 mXfQ 41vb yRzW 9PnA 7uLh Gg5j tV3c oB6e Ns2x wQ8r"),
    confirmRecovery: () =>
      this.#answer("confirmRecovery", () => {
        this.setStatus({ recovery: "ready" });
        return null;
      }),
    recover: (key) =>
      this.#answer("recover", () => {
        if (!key.startsWith("EsTc")) throw problem("chat.recoveryWrongKey");
        this.setStatus({ recovery: "ready" });
        return null;
      }),
    resetRecovery: () => this.#answer("resetRecovery", () => "EsUb 2Nw9 cVqT 60xk hLzM 4RdA 5yPo Jf8s bG1e uK7i Wm3n tX5v"),
    devices: () =>
      this.#answer("devices", () => [
        { id: "QKXWVLEJPN", name: "Cordée sur Linux", current: true, verified: true, lastSeen: this.now(), lastIp: null },
        { id: "MZRTAUCHWO", name: "Téléphone de Camille", current: false, verified: true, lastSeen: this.now() - 7_200_000, lastIp: null },
        { id: "BPLIDVNXSE", name: null, current: false, verified: false, lastSeen: this.now() - 9 * 86_400_000, lastIp: null },
      ]),
  };

  settings: Backend["settings"] = {
    read: () => this.#answer("settings", () => this.settingsNow),
    onChange: this.#settings.on,
    change: (values) =>
      this.#answer("change", () => {
        this.settingsNow = { ...this.settingsNow, values };
        return this.settingsNow;
      }),
  };

  about = () =>
    this.#answer("about", () => ({ version: "0.1.0", commit: "1957011c0ffee", os: "Debian 12", webview: "WebKitGTK 2.50", dataFolder: "~/.local/share/cordee", logFolder: "~/.local/state/cordee" }));
  copyDiagnostics = () => this.#answer("copyDiagnostics", () => "Cordée 0.1.0");
  openLink = () => this.#answer("openLink", () => null);
  onNavigate = this.#navigations.on;
  uiReady = () => this.#answer("uiReady", () => null);
  uiError = () => this.#answer("uiError", () => null);

  // ---- inside

  async #answer<T>(name: string, make: () => T): Answer<T> {
    this.calls.push(name);
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    const failure = this.failing.get(name);
    if (failure) return { status: "error", error: failure };
    try {
      return { status: "ok", data: make() } satisfies Result<T>;
    } catch (thrown) {
      if (thrown instanceof Error) throw thrown;
      return { status: "error", error: thrown as Problem };
    }
  }

  #talk(roomId: string): Conversation {
    const talk = this.talks.find((known) => known.room.id === roomId);
    if (!talk) throw problem("chat.roomUnknown");
    return talk;
  }

  #echo(talk: Conversation, echo: Message): void {
    const state: Message["sending"] = this.offline ? { state: "waiting" } : { state: "sending", sentBytes: null, totalBytes: null };
    const shown = { ...echo, sending: state };
    talk.items.push(shown);
    this.#changed(talk);
    if (this.offline) {
      this.#queue.push({ talk, echo: shown });
      this.setStatus({ queued: this.#queue.length });
    } else {
      setTimeout(() => this.#arrive(talk, shown), this.delay * 4);
    }
  }

  #arrive(talk: Conversation, echo: Message): void {
    const failure = this.failing.get("arrive");
    if (failure) this.#replace(talk, echo, { sending: { state: "failed", problem: failure, canRetry: true } });
    else this.#replace(talk, echo, { sending: { state: "sent" }, eventId: `$sent-${echo.id}` });
  }

  #replace(talk: Conversation, old: Message, part: Partial<Message>, thenArrive = false): void {
    const at = talk.items.findIndex((item) => item.id === old.id);
    if (at < 0) return;
    const next = { ...old, ...part };
    talk.items[at] = next;
    this.#changed(talk);
    if (thenArrive) setTimeout(() => this.#arrive(talk, next), this.delay * 4);
  }

  /** Tells open timelines the smallest diff at their end, and the room list. */
  #changed(talk: Conversation): void {
    withLast(talk);
    for (const open of this.#open.values()) {
      if (open.talk !== talk) continue;
      const next = lines(talk, open.from, open.newFrom);
      let same = 0;
      while (same < next.length && same < open.items.length && next[same] === open.items[same]) same += 1;
      // Lines that are not messages are made anew each time; equal ids are equal lines.
      while (same < next.length && same < open.items.length && next[same]?.kind !== "message" && next[same]?.id === open.items[same]?.id) {
        same += 1;
        while (same < next.length && same < open.items.length && next[same] === open.items[same]) same += 1;
      }
      const diffs: ListDiff<Item>[] = [];
      if (next.length === open.items.length && same < next.length) {
        for (let index = same; index < next.length; index += 1) {
          const value = next[index];
          if (value && value !== open.items[index]) diffs.push({ op: "set", index, value });
        }
      } else {
        if (same < open.items.length) diffs.push({ op: "truncate", length: same });
        diffs.push({ op: "append", values: next.slice(same) });
      }
      open.items = next;
      open.tell(diffs);
    }
    this.#tellRooms();
  }

  #sorted(): Room[] {
    return this.talks.map((talk) => talk.room).toSorted((one, other) => other.at - one.at);
  }

  #tellRooms(): void {
    this.#rooms.tell([{ op: "reset", values: this.#sorted() }]);
    this.#count();
    this.#statuses.tell(this.statusNow);
  }

  #count(): void {
    const rooms = this.talks.map((talk) => talk.room);
    this.statusNow = {
      ...this.statusNow,
      unread: rooms.filter((room) => !room.muted && room.unread > 0).length,
      mentions: rooms.reduce((sum, room) => sum + room.mentions, 0),
      invitations: rooms.filter((room) => room.invited).length,
    };
  }
}

export function connected(at: number): Connection {
  return {
    overall: "connected",
    since: at - 5_400_000,
    verifiedAt: at - 4000,
    services: [
      { id: "signIn", kind: "signIn", name: null, host: "auth.saint-elme.example", status: { state: "reachable", latencyMs: 31.2 }, since: at - 5_400_000, checkedAt: at - 4000 },
      { id: "chat", kind: "chat", name: null, host: "hs.saint-elme.example", status: { state: "reachable", latencyMs: 24.4 }, since: at - 5_400_000, checkedAt: at - 4000 },
      { id: "organisation", kind: "organisation", name: null, host: "saint-elme.example", status: { state: "reachable", latencyMs: 19 }, since: at - 5_400_000, checkedAt: at - 9000 },
    ],
  };
}

function wordsOf(of: Message): string {
  return of.body.type === "text" ? of.body.nodes.map((node) => (node.tag === "text" ? node.text : "")).join("") : "";
}

/** For a browser: the address chooses the state, for example `?session=signedOut&theme=dark&rooms=300`. */
export function fakeBackend(asked: URLSearchParams): Backend {
  const backend = new FakeBackend();
  const language = asked.get("lang");
  const theme = asked.get("theme");
  const values = { ...backend.settingsNow.values };
  if (language === "fr" || language === "nl" || language === "en") values.language = language;
  if (theme === "light" || theme === "dark" || theme === "contrast") values.theme = theme;
  backend.settingsNow = { ...backend.settingsNow, values };
  if (asked.has("managed")) backend.settingsNow = { ...backend.settingsNow, managed: { startAtLogin: "poste partagé", theme: "" } };

  const session = asked.get("session");
  const at = backend.now();
  if (session === "signedOut") backend.sessionNow = { state: "signedOut", address: asked.get("address"), problem: asked.has("problem") ? problem(asked.get("problem") ?? "internal") : null };
  if (session === "browser") backend.sessionNow = { state: "browser", organisation, since: at - 60_000, url: "https://auth.saint-elme.example/" };
  if (session === "completing") backend.sessionNow = { state: "completing", organisation };
  if (session === "locked") backend.sessionNow = { state: "locked", problem: problem("keyring.locked") };
  if (session === "revoked") backend.sessionNow = { state: "signedIn", me, organisation, problem: problem("signIn.revoked") };
  const accent = asked.get("accent");
  if (accent !== null) backend.sessionNow = { state: "signedIn", me, organisation: { ...organisation, accent: `#${accent}` }, problem: null };

  if (asked.has("empty")) backend.talks = [];
  const rooms = Number(asked.get("rooms") ?? 0);
  if (rooms > 0) backend.talks.push(...manyRooms(at, rooms));
  const messages = Number(asked.get("messages") ?? 0);
  const first = backend.talks[0];
  if (messages > 0 && first) first.items.unshift(...olderTalk(at - 40 * 86_400_000, people.slice(0, 6).map((person) => author(person.name)), messages));
  backend.page = Number(asked.get("page") ?? backend.page);
  const recovery = asked.get("recovery");
  if (recovery === "needed" || recovery === "ready" || recovery === "notSetUp") backend.statusNow = { ...backend.statusNow, recovery };
  if (asked.has("offline")) setTimeout(() => backend.goOffline(), 200);
  if (asked.has("degraded")) {
    const [one, two, ...rest] = backend.connectionNow.services;
    if (one && two) backend.connectionNow = { ...backend.connectionNow, overall: "degraded", services: [{ ...one, status: { state: "unreachable", reason: "timeout", retryAt: at + 72_000 }, since: at - 600_000 }, two, ...rest] };
  }
  const code = asked.get("failing");
  if (code !== null) for (const name of ["openTimeline", "rooms", "members"]) backend.failing.set(name, problem(code));
  const place = asked.get("place");
  if (place !== null) setTimeout(() => backend.navigate({ place: place as "chat", room: asked.get("room") }), 60);
  // For trying things by hand in the browser's console.
  Object.assign(globalThis, { fake: backend });
  return backend;
}
