import { describe, expect, it, vi } from "vitest";
import type { Item, ListDiff, Message, Room } from "~/backend/backend";
import { problem } from "~/backend/fake";
import { message, said } from "~/backend/fake/conversations";
import { author, myself } from "~/backend/fake/people";
import { quickBackend } from "~/test/stage";
import { Drafts } from "./drafts.svelte";
import { insertMention, mentionAt, mentionsIn, suggest } from "./mentions";
import { isOpenable, plainText } from "./nodes";
import { Rooms, folded, matches, roomRows } from "./rooms.svelte";
import { Timeline, continues } from "./timeline.svelte";
import { TypingSignal } from "./typing";

const CARDIOLOGY = "!cardio:saint-elme.example";

describe("the room list", () => {
  it("loads, follows changes and stops", async () => {
    const backend = quickBackend();
    const rooms = new Rooms(backend);
    await rooms.start();
    await rooms.start();
    expect(backend.calls.filter((call) => call === "rooms")).toHaveLength(1);
    expect(rooms.list.length).toBeGreaterThan(5);
    backend.receive(CARDIOLOGY, "Pierre Dupont", "@Camille Martin c’est urgent");
    expect(rooms.byId.get(CARDIOLOGY)?.unread).toBe(3);
    expect(rooms.forYou[0]?.id).toBe(CARDIOLOGY);
    rooms.stop();
    expect(rooms.list).toEqual([]);
    backend.receive(CARDIOLOGY, "Pierre Dupont", "encore");
    expect(rooms.list).toEqual([]);
  });

  it("shows what came meanwhile when the pointer rests", async () => {
    const backend = quickBackend();
    const rooms = new Rooms(backend);
    await rooms.start();
    vi.useFakeTimers();
    rooms.hold();
    backend.receive(CARDIOLOGY, "Pierre Dupont", "bonjour");
    expect(rooms.byId.get(CARDIOLOGY)?.unread).toBe(2);
    vi.advanceTimersByTime(1500);
    expect(rooms.byId.get(CARDIOLOGY)?.unread).toBe(3);
    vi.useRealTimers();
  });

  it("keeps the problem when it cannot be loaded, and tries again", async () => {
    const backend = quickBackend();
    backend.failing.set("rooms", problem("network.offline"));
    const rooms = new Rooms(backend);
    await rooms.start();
    expect(rooms.problem?.code).toBe("network.offline");
    backend.failing.clear();
    await rooms.start();
    expect(rooms.problem).toBeNull();
    expect(rooms.list.length).toBeGreaterThan(0);
  });

  it("subscribes again when a diff does not fit", async () => {
    const backend = quickBackend();
    let tell: (diffs: ListDiff<Room>[]) => void = () => {};
    const subscribe = backend.chat.rooms;
    backend.chat.rooms = (told) => {
      tell = told;
      return subscribe(told);
    };
    const rooms = new Rooms(backend);
    await rooms.start();
    tell([{ op: "remove", index: 999 }]);
    await vi.waitFor(() => expect(rooms.loaded).toBe(true));
    expect(backend.calls).toContain("uiError");
    expect(rooms.list.length).toBeGreaterThan(5);
  });

  it("groups invitations, favourites and the rest", async () => {
    const rooms = new Rooms(quickBackend());
    await rooms.start();
    const groups = roomRows(rooms.list, "all", "").filter((row) => row.type === "group");
    expect(groups.map((group) => group.id)).toEqual(["invitations", "favourites", "recent"]);
    expect(roomRows(rooms.list, "people", "").every((row) => row.type === "group" || row.room.kind === "direct")).toBe(true);
    expect(roomRows(rooms.list, "all", "zzz")).toEqual([]);
  });

  it("finds names without their accents, by the beginning of any word", () => {
    expect(folded("Hélène Noël")).toBe("helene noel");
    expect(matches({ name: "Secrétariat central" } as Room, "centr secre")).toBe(true);
  });
});

describe("a timeline", () => {
  it("opens, pages back to the start and closes", async () => {
    const backend = quickBackend();
    const timeline = new Timeline(backend, CARDIOLOGY);
    await timeline.open();
    const first = timeline.items.length;
    await timeline.back();
    expect(timeline.items.length).toBeGreaterThan(first);
    expect(timeline.grewAbove).toBe(true);
    for (let page = 0; page < 5 && !timeline.reachedStart; page += 1) await timeline.back();
    expect(timeline.reachedStart).toBe(true);
    expect(timeline.items[0]?.kind).toBe("start");
    expect(new Set(timeline.items.map((item) => item.id)).size).toBe(timeline.items.length);
    timeline.close();
    expect(backend.calls).toContain("closeTimeline");
  });

  it("shows a message once that the list below has twice", async () => {
    const backend = quickBackend();
    let tell: (diffs: ListDiff<Item>[]) => void = () => {};
    const subscribe = backend.chat.openTimeline;
    backend.chat.openTimeline = (room, told) => {
      tell = told;
      return subscribe(room, told);
    };
    const timeline = new Timeline(backend, CARDIOLOGY);
    await timeline.open();
    const shown = timeline.items.length;
    const last = timeline.items.at(-1)!;
    tell([{ op: "pushBack", value: { ...last, id: "again" } as Item }]);
    expect(timeline.items.length).toBe(shown);
    expect(timeline.items.at(-1)?.id).toBe("again");
    tell([{ op: "popBack" }]);
    expect(timeline.items.at(-1)?.id).toBe(last.id);
  });

  it("knows growth at the end from growth above", async () => {
    const backend = quickBackend();
    const timeline = new Timeline(backend, CARDIOLOGY);
    await timeline.open();
    await timeline.back();
    backend.receive(CARDIOLOGY, "Pierre Dupont", "Nouveau");
    expect(timeline.grewAbove).toBe(false);
    expect(timeline.items.at(-1)?.kind).toBe("message");
  });

  it("tells why paging back failed and does not pretend the start is there", async () => {
    const backend = quickBackend();
    const timeline = new Timeline(backend, CARDIOLOGY);
    await timeline.open();
    backend.failing.set("back", problem("network.timeout"));
    await timeline.back();
    expect(timeline.backProblem?.code).toBe("network.timeout");
    expect(timeline.reachedStart).toBe(false);
  });

  it("closes what was opened after one already left", async () => {
    const backend = quickBackend();
    const timeline = new Timeline(backend, CARDIOLOGY);
    const opening = timeline.open();
    timeline.close();
    await opening;
    expect(backend.calls).toContain("closeTimeline");
  });

  it("joins messages of one author within five minutes", () => {
    const one = message(author("Pierre Dupont"), 1000, said("a"));
    const soon = message(author("Pierre Dupont"), 60_000, said("b"));
    const late = message(author("Pierre Dupont"), 900_000, said("c"));
    const other = message(myself, 61_000, said("d"));
    const reply: Message = { ...soon, reply: { eventId: "$x", author: null, text: "" } };
    const day: Item = { kind: "day", id: "d", at: 0 };
    expect(continues(one, soon)).toBe(true);
    expect(continues(soon, late)).toBe(false);
    expect(continues(soon, other)).toBe(false);
    expect(continues(one, reply)).toBe(false);
    expect(continues(day, one)).toBe(false);
    expect(continues(undefined, one)).toBe(false);
  });
});

describe("mentions", () => {
  const people = ["Pierre Dupont", "Dr Marie Leroy", "Sofia Amrani"].map((name) => ({ ...author(name), function: null }));

  it("begin with an @ at the start of a word", () => {
    expect(mentionAt("Bonjour @Pi", 11)).toEqual({ from: 8, to: 11, text: "Pi" });
    expect(mentionAt("camille@hopital", 15)).toBeNull();
    expect(mentionAt("@a b c d", 8)).toBeNull();
    expect(mentionAt("rien", 4)).toBeNull();
  });

  it("suggest by any word of the name, without accents", () => {
    expect(suggest(people, "ler").map((person) => person.name)).toEqual(["Dr Marie Leroy"]);
    expect(suggest(people, "Pierre Dupont ")).toEqual([]);
  });

  it("are written in full and sent once", () => {
    const asked = mentionAt("Merci @pi et", 9);
    expect(asked && insertMention("Merci @pi et", asked, "Pierre Dupont")).toEqual({ text: "Merci @Pierre Dupont et", caret: 21 });
    const chosen = [
      { id: "@p:x", name: "Pierre Dupont" },
      { id: "@p:x", name: "Pierre Dupont" },
      { id: "@s:x", name: "Sofia Amrani" },
    ];
    expect(mentionsIn("Merci @Pierre Dupont", chosen)).toEqual(["@p:x"]);
  });
});

describe("the typing signal", () => {
  it("is repeated at most every four seconds and taken back after a pause", () => {
    vi.useFakeTimers();
    const told: boolean[] = [];
    const signal = new TypingSignal((on) => told.push(on));
    for (let key = 0; key < 30; key += 1) {
      signal.typed();
      vi.advanceTimersByTime(200);
    }
    expect(told).toEqual([true, true]);
    vi.advanceTimersByTime(TypingSignal.pause);
    expect(told).toEqual([true, true, false]);
    signal.stop();
    expect(told).toHaveLength(3);
    vi.useRealTimers();
  });
});

describe("drafts", () => {
  it("are kept for each room", () => {
    const drafts = new Drafts();
    drafts.in("a").text = "commencé";
    expect(drafts.in("b").text).toBe("");
    expect(drafts.in("a").text).toBe("commencé");
    drafts.clear();
    expect(drafts.in("a").empty).toBe(true);
  });
});

describe("rich text as words", () => {
  it("keeps lines, mentions and links", () => {
    expect(
      plainText([
        { tag: "element", name: "p", children: [{ tag: "text", text: "Un" }, { tag: "break" }, { tag: "mention", userId: "@a:b", name: "Ana", me: false }] },
        { tag: "link", href: "https://x", children: [{ tag: "text", text: "lien" }] },
      ]),
    ).toBe("Un\n@Ana\nlien");
  });

  it("opens nothing but web and mail addresses", () => {
    expect(isOpenable("https://hopital.be")).toBe(true);
    expect(isOpenable("mailto:a@b.c")).toBe(true);
    for (const href of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", " https://x", "cordee:x"]) {
      expect(isOpenable(href), href).toBe(false);
    }
  });
});
