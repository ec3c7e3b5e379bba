// The backend of the desktop program: generated commands and events, in the shape of backend.ts.
import { Channel } from "@tauri-apps/api/core";
import type { Answer, Backend, Item, ListDiff, Problem, Room, Stop } from "./backend";
import { commands, events } from "./bindings";
import { inOrder } from "./in-order";

/** A command that threw (missing, not permitted, serialisation) is a defect of ours, told as one. */
async function call<T>(answer: Answer<T>): Answer<T> {
  try {
    return await answer;
  } catch {
    const error: Problem = { code: "internal", data: {}, logId: "", retry: { kind: "permanent" } };
    return { status: "error", error };
  }
}

type Listenable<T> = { listen: (told: (event: { payload: T }) => void) => Promise<Stop> };

/** Settles when every listener asked for so far is registered on the Rust side. */
let listening: Promise<unknown> = Promise.resolve();

/** A snapshot read before its listener stands could miss the change in between. */
async function snapshot<T>(read: () => Answer<T>): Answer<T> {
  await listening;
  return call(read());
}

/** Listening starts asynchronously in Tauri; stopping before it began must still stop it. */
function listen<T>(event: Listenable<T>, told: (payload: T) => void): Stop {
  return stopLater(event.listen(({ payload }) => told(payload)));
}

function stopLater(begun: Promise<Stop>): Stop {
  let stopped = false;
  let stop: Stop | undefined;
  const registered = begun.then(
    (ready) => {
      if (stopped) ready();
      else stop = ready;
    },
    () => undefined,
  );
  listening = Promise.all([listening, registered]);
  return () => {
    stopped = true;
    stop?.();
    stop = undefined;
  };
}

function channel<T>(told: (diffs: ListDiff<T>[]) => void): Channel<ListDiff<T>[]> {
  const diffs = new Channel<ListDiff<T>[]>();
  diffs.onmessage = told;
  return diffs;
}

export function tauriBackend(): Backend {
  const sending = inOrder();
  return {
    session: {
      state: () => snapshot(commands.sessionState),
      onChange: (told) => listen(events.sessionChanged, told),
      find: (address) => call(commands.organisationFind(address)),
      begin: (address) => call(commands.signInBegin(address)),
      cancel: () => call(commands.signInCancel()),
      password: (address, user, password) => call(commands.signInPassword(address, user, password)),
      signOut: () => call(commands.signOut()),
      retryKeyring: () => call(commands.keyringRetry()),
    },
    connection: {
      state: () => snapshot(commands.connectionState),
      onChange: (told) => listen(events.connectionChanged, told),
      retry: (service) => call(commands.connectionRetry(service)),
      openPortal: () => call(commands.captivePortalOpen()),
    },
    chat: {
      status: () => snapshot(commands.chatStatus),
      onStatus: (told) => listen(events.chatStatusChanged, told),
      onTyping: (told) => listen(events.typingChanged, told),
      rooms: async (told) => {
        const answer = await call(commands.chatRoomsSubscribe(channel<Room>(told)));
        if (answer.status === "error") return answer;
        const stop = () => void call(commands.chatRoomsUnsubscribe(answer.data));
        return { status: "ok", data: stop };
      },
      openTimeline: (room, told) => call(commands.chatTimelineOpen(room, channel<Item>(told))),
      back: (timeline) => call(commands.chatTimelineBack(timeline)),
      closeTimeline: (timeline) => call(commands.chatTimelineClose(timeline)),
      send: (room, draft) => sending(room, () => call(commands.chatSend(room, draft))),
      sendFiles: (room, paths) => sending(room, () => call(commands.chatSendFiles(room, paths))),
      pickFiles: (room) => call(commands.chatPickFiles(room)),
      sendBytes: (room, name, mime, base64) =>
        sending(room, () => call(commands.chatSendBytes(room, name, mime, base64))),
      retry: (room, item) => call(commands.chatRetry(room, item)),
      discard: (room, item) => call(commands.chatDiscard(room, item)),
      typing: (room, typing) => call(commands.chatTyping(room, typing)),
      markRead: (room) => call(commands.chatMarkRead(room)),
      favourite: (room, on) => call(commands.chatFavourite(room, on)),
      join: (room) => call(commands.chatJoin(room)),
      leave: (room) => call(commands.chatLeave(room)),
      people: (term) => call(commands.chatPeopleSearch(term)),
      direct: (userId) => call(commands.chatDirect(userId)),
      members: (room) => call(commands.chatMembers(room)),
      saveMedia: (media, name) => call(commands.chatMediaSave(media, name)),
      openMedia: (media, name) => call(commands.chatMediaOpen(media, name)),
      createRecovery: () => call(commands.chatRecoveryCreate()),
      confirmRecovery: () => call(commands.chatRecoveryConfirm()),
      recover: (key) => call(commands.chatRecover(key)),
      resetRecovery: () => call(commands.chatRecoveryReset()),
      devices: () => call(commands.devices()),
    },
    settings: {
      read: () => snapshot(commands.settings),
      onChange: (told) => listen(events.settingsChanged, told),
      change: (values) => call(commands.settingsChange(values)),
    },
    about: () => call(commands.about()),
    copyDiagnostics: () => call(commands.diagnosticsCopy()),
    openLink: (url) => call(commands.linkOpen(url)),
    onNavigate: (told) => listen(events.navigate, told),
    uiReady: () => call(commands.uiReady()),
    uiError: (code, place) => call(commands.uiError(code, place)),
  };
}
