import { fireEvent } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { tick } from "svelte";
import { describe, expect, it, vi } from "vitest";
import type { Body, Node } from "~/backend/backend";
import { problem, type FakeBackend } from "~/backend/fake";
import { message, said } from "~/backend/fake/conversations";
import { author } from "~/backend/fake/people";
import { expectAccessible } from "~/test/axe";
import { allById, appears, byId, onStage, openApp, quickBackend, says } from "~/test/stage";
import MessageView from "./MessageView.svelte";
import RichText from "./RichText.svelte";

const CARDIOLOGY = "!cardio:saint-elme.example";

async function openRoom(backend: FakeBackend, room = CARDIOLOGY) {
  openApp(backend);
  await appears("frame");
  backend.navigate({ place: "chat", room });
  return appears("timeline");
}

async function write(text: string) {
  const field = (await appears("composer-input")) as HTMLTextAreaElement;
  await userEvent.type(field, text);
  return field;
}

describe("the conversations", () => {
  it("lists rooms with names, counts and last words, accessibly", async () => {
    openApp();
    await userEvent.click(await appears("rail-chat"));
    await appears("room-row");
    expect(allById("room-row").map((row) => row.dataset.name)).toContain("Cardiologie");
    await says("1 message vous cite");
    await expectAccessible();
  });

  it("tell before one is opened that the local copy was fetched again", async () => {
    const backend = quickBackend();
    backend.setStatus({ storeReset: true });
    openApp(backend);
    await userEvent.click(await appears("rail-chat"));
    await appears("chat-banner");
    await expectAccessible();
  });

  it("are waited for on the first day, and nothing is said of them before they are known", async () => {
    const backend = quickBackend();
    backend.setStatus({ sync: "starting" });
    for (const talk of backend.talks) talk.room = { ...talk.room, name: "", at: 0, unread: 0, mentions: 0 };
    openApp(backend);
    const today = await appears("today");
    await vi.waitFor(() => expect(today.querySelector("h1")?.textContent).not.toBe(""));
    expect(today.textContent).not.toContain("1970");
    expect(today.textContent).not.toContain("Rien de nouveau");
    await expectAccessible();
  });

  it("is walked with the arrow keys and opened with Enter", async () => {
    openApp();
    await userEvent.click(await appears("rail-chat"));
    await appears("room-row");
    byId("room-search").focus();
    await userEvent.keyboard("{ArrowDown}");
    await vi.waitFor(() => expect((document.activeElement as HTMLElement).dataset.name).toBe("Conseil médical"));
    await userEvent.keyboard("{ArrowDown}");
    await vi.waitFor(() => expect((document.activeElement as HTMLElement).dataset.name).toBe("Cardiologie"));
    await userEvent.keyboard("{Enter}");
    await appears("timeline");
    expect(byId("room-name").textContent).toBe("Cardiologie");
  });

  it("stand still while one aims and presses, so that the click counts", async () => {
    const backend = quickBackend();
    openApp(backend);
    await userEvent.click(await appears("rail-chat"));
    await appears("room-row");
    const names = () => allById("room-row").map((row) => row.dataset.name);
    const before = names();
    const cardiology = allById("room-row").find((row) => row.dataset.name === "Cardiologie")!;
    const mouse = userEvent.setup();
    const last = backend.talks.find((talk) => talk.room.name === before.at(-1))!;
    await mouse.pointer({ target: cardiology });
    backend.receive(last.room.id, "Pierre Dupont", "bonjour");
    await tick();
    expect(names(), "while one aims").toEqual(before);
    await mouse.pointer({ keys: "[MouseLeft>]", target: cardiology });
    backend.receive(last.room.id, "Pierre Dupont", "vous êtes là ?");
    await tick();
    expect(names(), "while one presses").toEqual(before);
    await mouse.pointer({ keys: "[/MouseLeft]", target: cardiology });
    await appears("timeline");
    expect(byId("room-name").textContent).toBe("Cardiologie");
    await vi.waitFor(() => expect(names().indexOf(last.room.name)).toBeLessThan(before.length - 1));
  });

  it("is searched by name", async () => {
    openApp();
    await userEvent.click(await appears("rail-chat"));
    await userEvent.type(await appears("room-search"), "nath");
    await vi.waitFor(() => expect(allById("room-row").map((row) => row.dataset.name)).toEqual(["Nathalie Brandt"]));
    await userEvent.type(byId("room-search"), "zzz");
    await says("Aucune discussion trouvée");
    await expectAccessible();
  });

  it("says what to do when there is none", async () => {
    const backend = quickBackend();
    backend.talks = [];
    openApp(backend);
    await userEvent.click(await appears("rail-chat"));
    await says("Écrivez à un collègue pour commencer");
    await expectAccessible();
  });

  it("says why it cannot be shown and tries again", async () => {
    const backend = quickBackend();
    backend.failing.set("rooms", problem("chat.storeLocked"));
    openApp(backend);
    await userEvent.click(await appears("rail-chat"));
    await says("Un autre programme utilise déjà vos discussions");
    await expectAccessible();
    backend.failing.clear();
    const retry = [...document.querySelectorAll("button")].find((button) => button.textContent?.includes("Réessayer"));
    await userEvent.click(retry as HTMLElement);
    await appears("room-row");
  });

  it("accepts and declines invitations", async () => {
    const backend = quickBackend();
    openApp(backend);
    await appears("frame");
    backend.navigate({ place: "chat", room: "!conseil:saint-elme.example" });
    await appears("invitation");
    await expectAccessible();
    await userEvent.click(byId("accept"));
    await appears("composer-input");
    expect(backend.calls).toContain("join");
  });
});

describe("a conversation", () => {
  it("shows messages, the new marker and the lock, and is accessible", async () => {
    await openRoom(quickBackend());
    await appears("message");
    await appears("new-marker");
    expect(byId("room-encryption").dataset.encrypted).toBe("true");
    await says("Lu par 11");
    await expectAccessible();
  });

  it("sends with Enter: an echo at once, then sent", async () => {
    const backend = quickBackend();
    backend.delay = 20;
    await openRoom(backend);
    await write("Bonjour{Enter}");
    await vi.waitFor(() => expect(allById("message").at(-1)?.dataset.sending).toBe("sending"));
    expect((byId("composer-input") as HTMLTextAreaElement).value).toBe("");
    await vi.waitFor(() => expect(allById("message").at(-1)?.dataset.sending).toBe("sent"));
    expect(allById("message").at(-1)?.dataset.mine).toBe("true");
  });

  it("goes to the next line with Shift + Enter", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    const field = await write("un{Shift>}{Enter}{/Shift}deux");
    expect(field.value).toBe("un\ndeux");
    expect(backend.calls).not.toContain("send");
  });

  it("says that a message waits while offline, and sends it afterwards", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    backend.goOffline();
    await appears("chat-banner");
    expect(byId("connection-badge").dataset.overall).toBe("offline");
    await write("plus tard{Enter}");
    await vi.waitFor(() => expect(allById("message").at(-1)?.dataset.sending).toBe("waiting"));
    await says("Partira dès le retour de la connexion");
    await says("1 message partira");
    await expectAccessible();
    backend.goOnline();
    await vi.waitFor(() => expect(allById("message").at(-1)?.dataset.sending).toBe("sent"));
    expect(allById("chat-banner")).toHaveLength(0);
  });

  it("keeps a failed message with its reason, retries and discards it", async () => {
    const backend = quickBackend();
    backend.failing.set("arrive", problem("chat.tooLarge", { max: "50 Mo" }));
    await openRoom(backend);
    await write("refusé{Enter}");
    await appears("retry");
    await says("au plus 50 Mo");
    await expectAccessible();
    await userEvent.click(byId("retry"));
    await vi.waitFor(() => expect(allById("message").at(-1)?.dataset.sending).toBe("failed"));
    await userEvent.click(byId("discard"));
    await vi.waitFor(() => expect(allById("message").map((shown) => shown.dataset.sending)).not.toContain("failed"));
  });

  it("gives the words back when they could not even be queued", async () => {
    const backend = quickBackend();
    backend.failing.set("send", problem("chat.diskFull"));
    await openRoom(backend);
    const field = await write("précieux{Enter}");
    await says("Le disque est plein");
    expect(field.value).toBe("précieux");
  });

  it("keeps a draft for each room", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    await write("à moitié");
    backend.navigate({ place: "chat", room: "!crise:saint-elme.example" });
    await vi.waitFor(() => expect((byId("composer-input") as HTMLTextAreaElement).value).toBe(""));
    backend.navigate({ place: "chat", room: CARDIOLOGY });
    await vi.waitFor(() => expect((byId("composer-input") as HTMLTextAreaElement).value).toBe("à moitié"));
  });

  it("completes a mention with the keyboard", async () => {
    const backend = quickBackend();
    const sent = vi.spyOn(backend.chat, "send");
    await openRoom(backend);
    const field = await write("Merci @sof");
    await appears("mention-option");
    await expectAccessible();
    await userEvent.keyboard("{Enter}");
    await vi.waitFor(() => expect(field.value).toBe("Merci @Sofia Amrani "));
    await userEvent.keyboard("{Enter}");
    expect(sent).toHaveBeenCalledWith(CARDIOLOGY, {
      text: "Merci @Sofia Amrani",
      replyTo: null,
      mentions: ["@sofia.amrani:saint-elme.example"],
    });
  });

  it("answers a message from the keyboard alone", async () => {
    const backend = quickBackend();
    const sent = vi.spyOn(backend.chat, "send");
    await openRoom(backend);
    (await appears("composer-input")).focus();
    await userEvent.keyboard("{ArrowUp}");
    await vi.waitFor(() => expect((document.activeElement as HTMLElement).dataset.testid).toBe("message"));
    const eventId = (document.activeElement as HTMLElement).dataset.eventId;
    await userEvent.keyboard("r");
    await says("Réponse à Dr Marie Leroy");
    expect(document.activeElement).toBe(byId("composer-input"));
    await userEvent.keyboard("D’accord{Enter}");
    expect(sent.mock.calls[0]?.[1].replyTo).toBe(eventId);
  });

  it("marks as read what is at the end and looked at", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    await vi.waitFor(() => expect(backend.calls).toContain("markRead"));
  });

  it("does not count as new what is being read", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    await vi.waitFor(() => expect(backend.calls).toContain("markRead"));
    const row = allById("room-row").find((one) => one.dataset.name === "Cardiologie")!;
    const badge = () => byId("rail-chat").textContent;
    const before = badge();
    backend.calls.length = 0;
    backend.receive(CARDIOLOGY, "Pierre Dupont", "bonjour");
    await says("bonjour");
    expect(backend.calls, "not read yet").not.toContain("markRead");
    expect(row.querySelector(".count")).toBeNull();
    expect(badge()).toBe(before);
  });

  it("says who types", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    backend.type(CARDIOLOGY, ["Pierre Dupont", "Sofia Amrani"]);
    await says("Pierre Dupont et Sofia Amrani écrivent");
    backend.type(CARDIOLOGY, []);
    await vi.waitFor(() => expect(byId("typing").textContent?.trim()).toBe(""));
  });

  it("can be read where writing is not allowed", async () => {
    const backend = quickBackend();
    backend.readOnly.add(CARDIOLOGY);
    await openRoom(backend);
    await says("mais pas y écrire");
    expect(allById("composer-input")).toHaveLength(0);
    await expectAccessible();
  });

  it("says why it does not open", async () => {
    const backend = quickBackend();
    backend.failing.set("openTimeline", problem("chat.roomUnknown"));
    openApp(backend);
    await appears("frame");
    backend.navigate({ place: "chat", room: CARDIOLOGY });
    await says("Cette conversation n’existe plus");
    await expectAccessible();
  });

  it("takes files that are dropped and pictures that are pasted", async () => {
    const backend = quickBackend();
    await openRoom(backend);
    await appears("composer-input");
    const report = new File(["x"], "rapport.pdf", { type: "application/pdf" });
    const dataTransfer = { types: ["Files"], files: [report] };
    await fireEvent.dragEnter(byId("timeline"), { dataTransfer });
    await says("Déposez les fichiers");
    const drop = vi.spyOn(backend.chat, "sendBytes");
    await fireEvent.drop(byId("timeline"), { dataTransfer });
    await vi.waitFor(() => expect(drop).toHaveBeenCalledWith(CARDIOLOGY, "rapport.pdf", "application/pdf", "eA=="));
    const picture = new File(["x"], "image.png", { type: "image/png" });
    await fireEvent.paste(byId("composer-input"), { clipboardData: { files: [picture] } });
    await says("Image à envoyer");
    await expectAccessible();
    await userEvent.click(byId("send"));
    await vi.waitFor(() => expect(drop).toHaveBeenCalledWith(CARDIOLOGY, "image.png", "image/png", "eA=="));
  });

  it("shows the people, and one can write to each", async () => {
    await openRoom(quickBackend());
    await userEvent.click(await appears("show-people"));
    await appears("people-panel");
    await says("Ali Benali");
    await expectAccessible();
  });

  it("begins a direct conversation with somebody found by name", async () => {
    openApp();
    await userEvent.click(await appears("rail-chat"));
    await userEvent.click(await appears("new-conversation"));
    await userEvent.type(await appears("people-input"), "wouter");
    await vi.waitFor(() => expect(allById("person-row")).toHaveLength(1));
    await expectAccessible(document.querySelector('[role="dialog"]') ?? document.body);
    await userEvent.keyboard("{Enter}");
    await vi.waitFor(() => expect(byId("room-name").textContent).toBe("Wouter De Smet"));
  });
});

describe("one message", () => {
  const show = (body: Body, more = {}) =>
    onStage(MessageView, {
      message: message(author("Pierre Dupont"), Date.now(), body, more),
      joined: false,
      direct: false,
      roomId: CARDIOLOGY,
      active: false,
      onactive: () => {},
      onreply: () => {},
      onenlarge: () => {},
      ongoto: () => true,
    });
  const image = { type: "image", name: "radio.png", mime: "image/png", size: 1000, width: 20_000, height: 10_000, src: "media:1", media: "m", caption: null, tooLarge: false } as const;

  it.each<[string, Body, string]>([
    ["text", said("Bonjour **à tous**"), "Bonjour à tous"],
    ["an emote", { type: "text", nodes: [{ tag: "text", text: "arrive" }], emote: true, notice: false, truncated: false }, "Pierre Dupont arrive"],
    ["a cut text", { type: "text", nodes: [{ tag: "text", text: "long" }], emote: false, notice: true, truncated: true }, "La suite de ce très long message"],
    ["a picture", image, ""],
    ["a picture too large", { ...image, tooLarge: true }, "trop grande pour être affichée"],
    ["a file", { type: "file", name: "../../x", mime: "application/pdf", size: null, media: "m", caption: null }, "../../x"],
    ["a deleted message", { type: "redacted" }, "Message supprimé"],
    ["a sealed message", { type: "undecryptable", reason: "beforeJoining" }, "avant votre arrivée"],
    ["an unknown kind", { type: "unsupported", name: "m.poll" }, "m.poll"],
  ])("shows %s accessibly", async (_, body, text) => {
    const { container } = show(body);
    expect(container.textContent?.replace(/\s+/gu, " ")).toContain(text);
    await expectAccessible(container);
  });

  it("reserves the place of a picture, however large it is", () => {
    const { container } = show(image);
    const box = container.querySelector<HTMLElement>(".picture");
    expect(box?.style.width).toBe("420px");
    expect(box?.style.aspectRatio).toBe("420 / 210");
  });

  it("offers the recovery key where that would open the message", async () => {
    const backend = quickBackend();
    backend.statusNow = { ...backend.statusNow, recovery: "needed" };
    const { desk } = onStage(
      MessageView,
      {
        message: message(author("Pierre Dupont"), 0, { type: "undecryptable", reason: "keyMissing" }),
        joined: false,
        direct: false,
        roomId: CARDIOLOGY,
        active: false,
        onactive: () => {},
        onreply: undefined,
        onenlarge: () => {},
        ongoto: () => true,
      },
      backend,
    );
    await says("Entrer ma clé");
    const enter = [...document.querySelectorAll("button")].find((button) => button.textContent?.includes("Entrer ma clé"));
    await userEvent.click(enter as HTMLElement);
    expect(desk.recovery).toBe("enter");
  });

  it("shows the address beside a name that somebody else has too", () => {
    const body = said("Bonjour");
    const { container } = show(body, { author: { ...author("Pierre Dupont"), ambiguous: true } });
    expect(container.textContent).toContain("@pierre.dupont:saint-elme.example");
  });
});

describe("hostile text", () => {
  const show = (nodes: Node[]) => onStage(RichText, { nodes });

  it("is drawn as words, never as markup", () => {
    const { container } = show([{ tag: "text", text: "<img src=x onerror=alert(1)><script>1</script>" }]);
    expect(container.querySelector("img, script")).toBeNull();
    expect(container.textContent).toContain("<script>");
  });

  it("links only to addresses that may be opened", async () => {
    const { container, backend } = show([
      { tag: "link", href: "javascript:alert(1)", children: [{ tag: "text", text: "cliquez" }] },
      { tag: "link", href: "https://hopital.example/", children: [{ tag: "text", text: "ici" }] },
    ]);
    expect(container.querySelectorAll("a")).toHaveLength(1);
    const opened = vi.spyOn(backend, "openLink");
    const link = container.querySelector("a") as HTMLAnchorElement;
    const event = new MouseEvent("click", { bubbles: true, cancelable: true });
    link.dispatchEvent(event);
    expect(event.defaultPrevented).toBe(true);
    expect(opened).toHaveBeenCalledWith("https://hopital.example/");
  });

  it("does not follow a thousand nested quotes", () => {
    let node: Node = { tag: "text", text: "fond" };
    for (let depth = 0; depth < 1000; depth += 1) node = { tag: "element", name: "blockquote", children: [node] };
    const { container } = show([node]);
    expect(container.querySelectorAll("blockquote").length).toBeLessThan(40);
  });

  it("keeps the direction of each name and text to itself", () => {
    const { container } = show([
      { tag: "mention", userId: "@x:y", name: "\u202eeniram", me: false },
      { tag: "text", text: " \u202ebonjour" },
    ]);
    expect(container.querySelector("bdi")).not.toBeNull();
    expect(container.querySelector("[dir=auto]")).not.toBeNull();
  });
});
