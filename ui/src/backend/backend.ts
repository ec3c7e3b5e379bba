// The seam between the screens and the program. Everything the interface can ask for or be told
// stands here; the implementations are tauri.ts (the desktop program) and fake.ts (a browser, tests).
import type {
  About,
  ChatStatus,
  Connection,
  Device,
  Draft,
  Item,
  ListDiff,
  Navigate,
  Organisation,
  Person,
  Problem,
  Room,
  Session,
  Settings,
  SettingsView,
  SignOutReport,
  TimelineOpened,
  TypingChanged,
} from "./bindings";

export type {
  About,
  Author,
  Body,
  ChatStatus,
  Connection,
  Device,
  Draft,
  Item,
  LastMessage,
  ListDiff,
  Me,
  Navigate,
  Node,
  RoomNotice,
  Organisation,
  Person,
  Problem,
  Room,
  Sending,
  Service,
  ServiceState,
  Session,
  Settings,
  SettingsView,
  SignOutReport,
  TimelineOpened,
  TypingChanged,
} from "./bindings";

export type Message = Extract<Item, { kind: "message" }>;

/** An expected failure is a value; a promise of the backend never rejects. */
export type Result<T> = { status: "ok"; data: T } | { status: "error"; error: Problem };
export type Answer<T> = Promise<Result<T>>;

/** Ends a subscription. Calling it twice is harmless. */
export type Stop = () => void;

export interface Backend {
  session: {
    state(): Answer<Session>;
    onChange(told: (session: Session) => void): Stop;
    find(address: string): Answer<Organisation>;
    begin(address: string): Answer<null>;
    cancel(): Answer<null>;
    password(address: string, user: string, password: string): Answer<null>;
    signOut(): Answer<SignOutReport>;
    retryKeyring(): Answer<null>;
  };
  connection: {
    state(): Answer<Connection>;
    onChange(told: (connection: Connection) => void): Stop;
    /** `null` probes every service. */
    retry(service: string | null): Answer<null>;
    openPortal(): Answer<null>;
  };
  chat: {
    status(): Answer<ChatStatus>;
    onStatus(told: (status: ChatStatus) => void): Stop;
    onTyping(told: (typing: TypingChanged) => void): Stop;
    rooms(told: (diffs: ListDiff<Room>[]) => void): Answer<Stop>;
    openTimeline(room: string, told: (diffs: ListDiff<Item>[]) => void): Answer<TimelineOpened>;
    back(timeline: number): Answer<{ reachedStart: boolean }>;
    closeTimeline(timeline: number): Answer<null>;
    send(room: string, draft: Draft): Answer<null>;
    sendFiles(room: string, paths: string[]): Answer<null>;
    pickFiles(room: string): Answer<null>;
    /** A picture from the clipboard, or a file dropped on the window. */
    sendBytes(room: string, name: string, mime: string, base64: string): Answer<null>;
    retry(room: string, item: string): Answer<null>;
    discard(room: string, item: string): Answer<null>;
    typing(room: string, typing: boolean): Answer<null>;
    markRead(room: string): Answer<null>;
    favourite(room: string, on: boolean): Answer<null>;
    join(room: string): Answer<null>;
    leave(room: string): Answer<null>;
    people(term: string): Answer<Person[]>;
    /** Opens or creates the direct conversation and answers its room. */
    direct(userId: string): Answer<string>;
    members(room: string): Answer<Person[]>;
    /** `false` when the person closed the dialog without choosing a place. */
    saveMedia(media: string, name: string): Answer<boolean>;
    openMedia(media: string, name: string): Answer<null>;
    createRecovery(): Answer<string>;
    confirmRecovery(): Answer<null>;
    recover(key: string): Answer<null>;
    resetRecovery(): Answer<string>;
    devices(): Answer<Device[]>;
  };
  settings: {
    read(): Answer<SettingsView>;
    onChange(told: (settings: SettingsView) => void): Stop;
    change(values: Settings): Answer<SettingsView>;
  };
  about(): Answer<About>;
  /** Puts the diagnostics on the clipboard and answers them as text. */
  copyDiagnostics(): Answer<string>;
  openLink(url: string): Answer<null>;
  onNavigate(told: (to: Navigate) => void): Stop;
  /** The first real content is painted: start-up is over. */
  uiReady(): Answer<null>;
  /** A defect of the interface itself: a code and where it happened, never content. */
  uiError(code: string, place: string): Answer<null>;
}
