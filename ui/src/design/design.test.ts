import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { expectAccessible } from "~/test/axe";
import { words } from "~/test/stage";
import Banner from "./Banner.svelte";
import Button from "./Button.svelte";
import Choice from "./Choice.svelte";
import Count from "./Count.svelte";
import Dialog from "./Dialog.svelte";
import Empty from "./Empty.svelte";
import Face from "./Face.svelte";
import IconButton from "./IconButton.svelte";
import Mark from "./Mark.svelte";
import Panel from "./Panel.svelte";
import PlaceHeader from "./PlaceHeader.svelte";
import Skeleton from "./Skeleton.svelte";
import Switch from "./Switch.svelte";
import Tag from "./Tag.svelte";

describe("Button", () => {
  it.each(["plain", "go", "bad", "quiet"] as const)("is accessible as %s", async (look) => {
    const { container } = render(Button, { look, children: words("Envoyer") });
    await expectAccessible(container);
  });

  it("cannot be pressed twice while it works", async () => {
    const onclick = vi.fn();
    const { container } = render(Button, { busy: true, onclick, children: words("Envoyer") });
    await userEvent.click(screen.getByRole("button"));
    expect(onclick).not.toHaveBeenCalled();
    expect(screen.getByRole("button").getAttribute("aria-busy")).toBe("true");
    await expectAccessible(container);
  });
});

describe("IconButton", () => {
  it("says what it does and whether it is on", async () => {
    const { container } = render(IconButton, { label: "Favori", pressed: true, children: words("") });
    expect(screen.getByRole("button", { name: "Favori", pressed: true })).toBeTruthy();
    await expectAccessible(container);
  });
});

describe("Face", () => {
  it("shows initials, and a picture when there is one", async () => {
    const { container, rerender } = render(Face, { name: "Dr Marie Leroy" });
    const letters = () => container.querySelector<HTMLElement>("[data-letters]")?.dataset.letters;
    expect(letters()).toBe("ML");
    await rerender({ name: "Dr Marie Leroy", picture: "media:1" });
    const picture = container.querySelector("img");
    expect(picture?.getAttribute("src")).toBe("media:1");
    expect(letters(), "until it has come").toBe("ML");
    picture?.dispatchEvent(new Event("load"));
    await vi.waitFor(() => expect(letters()).toBeUndefined());
    picture?.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(letters()).toBe("ML"));
    await expectAccessible(container);
  });
});

describe("Choice", () => {
  const options = [
    { value: "fr", label: "Français" },
    { value: "nl", label: "Nederlands" },
  ];
  it("is chosen with the mouse and with arrow keys", async () => {
    const onchange = vi.fn();
    const { container } = render(Choice, { label: "Langue", value: "fr", options, onchange });
    await userEvent.click(screen.getByLabelText("Nederlands"));
    expect(onchange).toHaveBeenLastCalledWith("nl");
    await userEvent.keyboard("{ArrowDown}");
    expect(onchange).toHaveBeenCalledTimes(2);
    await expectAccessible(container);
  });

  it("does not react when it is managed", async () => {
    const onchange = vi.fn();
    const { container } = render(Choice, { label: "Langue", value: "fr", options, disabled: true, onchange });
    await userEvent.click(screen.getByLabelText("Nederlands"));
    expect(onchange).not.toHaveBeenCalled();
    await expectAccessible(container);
  });
});

describe("Switch", () => {
  it("says its state and asks for the other one", async () => {
    const onchange = vi.fn();
    const { container } = render(Switch, { checked: true, label: "Notifications", onchange });
    await userEvent.click(screen.getByRole("switch", { name: "Notifications", checked: true }));
    expect(onchange).toHaveBeenCalledWith(false);
    await expectAccessible(container);
  });
});

describe("Dialog", () => {
  it("takes the focus, has a name and closes with Escape", async () => {
    const onclose = vi.fn();
    render(Dialog, { open: true, title: "Quitter ?", description: "Vraiment", onclose, children: words("…") });
    expect(await screen.findByRole("dialog", { name: "Quitter ?" })).toBeTruthy();
    await expectAccessible(screen.getByRole("dialog"));
    await userEvent.keyboard("{Escape}");
    expect(onclose).toHaveBeenCalled();
  });

  it("stays while something irreversible runs", async () => {
    const onclose = vi.fn();
    render(Dialog, { open: true, title: "Quitter ?", held: true, onclose });
    await screen.findByRole("dialog");
    await userEvent.keyboard("{Escape}");
    expect(onclose).not.toHaveBeenCalled();
  });
});

describe("the quiet pieces", () => {
  it.each([
    ["Tag", Tag, { look: "ok", children: words("Vérifié") }],
    ["Count", Count, { value: 120, label: "120 messages non lus" }],
    ["Banner", Banner, { look: "wait", title: "Hors ligne", children: words("Vos messages partiront.") }],
    ["urgent Banner", Banner, { look: "bad", urgent: true, children: words("Refusé") }],
    ["Empty", Empty, { title: "Vide", text: "Rien ici" }],
    ["Panel", Panel, { title: "Services", children: words("…") }],
    ["PlaceHeader", PlaceHeader, { title: "Connexion" }],
    ["Skeleton rows", Skeleton, { shape: "rows", label: "Chargement" }],
    ["Skeleton messages", Skeleton, { shape: "messages", label: "Chargement" }],
    ["Mark", Mark, {}],
  ] as const)("%s is accessible", async (_, component, props) => {
    const { container } = render(component as never, props as never);
    await expectAccessible(container);
  });

  it("counts beyond 99 without growing", () => {
    const { container } = render(Count, { value: 120, label: "120 messages non lus" });
    expect(container.textContent).toContain("99+");
    expect(container.textContent).toContain("120 messages non lus");
  });
});
