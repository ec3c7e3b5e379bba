import { describe, expect, it, vi } from "vitest";
import { problem, type FakeBackend } from "~/backend/fake";
import { expectAccessible } from "~/test/axe";
import { appears, openApp, quickBackend, says } from "~/test/stage";

/** Rooms with nothing new in them. */
function quiet(): FakeBackend {
  const backend = quickBackend();
  for (const talk of backend.talks) talk.room = { ...talk.room, unread: 0, mentions: 0, marked: false };
  return backend;
}

describe("today", () => {
  it("says that nothing is new when the server has told of every room", async () => {
    openApp(quiet());
    await says("Vous êtes à jour");
    await expectAccessible();
  });

  it("does not say so while rooms still arrive, and waits where the answer will stand", async () => {
    const backend = quiet();
    backend.setStatus({ allRooms: false });
    openApp(backend);
    const today = await appears("today");
    await says("Dernières conversations");
    expect(today.textContent).not.toContain("Vous êtes à jour");
    expect(today.textContent).not.toContain("Rien de nouveau");
    await expectAccessible();
    backend.setStatus({ allRooms: true });
    await says("Vous êtes à jour");
  });

  it("says without a connection only what this device knows", async () => {
    const backend = quiet();
    backend.setStatus({ sync: "offline", problem: problem("network.offline") });
    openApp(backend);
    const today = await appears("today");
    await says("Rien de nouveau sur cet appareil");
    expect(today.textContent).not.toContain("Vous êtes à jour");
    await expectAccessible();
  });

  it("shows who wrote at once, before all rooms are known", async () => {
    const backend = quickBackend();
    backend.setStatus({ sync: "starting", allRooms: false });
    openApp(backend);
    const today = await appears("today");
    await vi.waitFor(() => expect(today.querySelector("[data-testid=for-you]")?.textContent).toContain("Cardiologie"));
  });
});
