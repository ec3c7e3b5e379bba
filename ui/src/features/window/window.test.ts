import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { problem } from "~/backend/fake";
import { me, organisation } from "~/backend/fake/people";
import { expectAccessible } from "~/test/axe";
import { allById, appears, byId, onStage, openApp, quickBackend, says } from "~/test/stage";
import Broken from "./Broken.svelte";

describe("the window", () => {
  it("goes from place to place with Alt and digits", async () => {
    openApp();
    await appears("today");
    await userEvent.keyboard("{Alt>}[Digit2]{/Alt}");
    await appears("room-list");
    await userEvent.keyboard("{Alt>}[Digit1]{/Alt}");
    await appears("today");
    await userEvent.keyboard("{Control>},{/Control}");
    await appears("settings");
  });

  it("shows only places that exist", async () => {
    openApp();
    await appears("frame");
    const places = [...document.querySelectorAll("nav [data-testid^=rail-]")].map((place) => place.getAttribute("data-testid"));
    expect(places).toEqual(["rail-today", "rail-chat"]);
  });

  it("opens a room when a notification is clicked", async () => {
    const { backend } = openApp();
    await appears("frame");
    backend.navigate({ place: "chat", room: "!crise:saint-elme.example" });
    expect((await appears("room-name")).textContent).toBe("Cellule de crise");
  });

  it("says that the session was closed, keeps the data in view and offers to sign in again", async () => {
    const backend = quickBackend();
    backend.sessionNow = { state: "signedIn", me, organisation, problem: problem("signIn.revoked") };
    openApp(backend);
    await appears("session-problem");
    await says("vos données sont gardées");
    await appears("today");
    await expectAccessible();
  });

  it("tells the program when the first rooms are on screen, once", async () => {
    const { backend } = openApp();
    await vi.waitFor(() => expect(backend.calls.filter((call) => call === "uiReady")).toHaveLength(1));
    backend.receive("!cardio:saint-elme.example", "Pierre Dupont", "encore");
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(backend.calls.filter((call) => call === "uiReady")).toHaveLength(1);
  });

  it("offers a way back when drawing fails", async () => {
    const { container } = onStage(Broken, { reset: () => {} });
    await says("Vos messages ne sont pas touchés");
    await expectAccessible(container);
  });
});

describe("Today", () => {
  it("greets, and shows who wrote, invitations and services", async () => {
    openApp();
    await says(/(Bonjour|Bonsoir) Camille/u);
    await says("2 conversations vous attendent");
    await says("Vous cite");
    await appears("invitation");
    await vi.waitFor(() => expect(allById("service-row")).toHaveLength(3));
    await expectAccessible();
  });

  it("is calm when nothing is new", async () => {
    const backend = quickBackend();
    backend.talks = [];
    openApp(backend);
    await says("Vous êtes à jour");
    await expectAccessible();
  });

  it("says that it is offline and since when", async () => {
    const { backend } = openApp();
    await appears("today");
    backend.goOffline();
    await says("Hors ligne depuis");
    await expectAccessible();
  });

  it("says why conversations cannot be shown", async () => {
    const backend = quickBackend();
    backend.failing.set("rooms", problem("chat.storeCorrupt"));
    openApp(backend);
    await says("La copie locale des discussions est abîmée");
    await expectAccessible();
  });

  it("shows skeletons before the first answer", async () => {
    const backend = quickBackend();
    backend.delay = 300;
    openApp(backend);
    await appears("today");
    await says(/Bonjour|Bonsoir/u);
    expect(document.querySelector('[role="status"][aria-label="Chargement des discussions"]')).not.toBeNull();
    await expectAccessible();
  });
});

describe("the recovery key", () => {
  it("is shown, copied and confirmed only once it is kept", async () => {
    openApp();
    await userEvent.click(await appears("recovery-open"));
    expect((await appears("recovery-key")).textContent).toMatch(/^EsTc/u);
    await expectAccessible(byId("recovery-dialog"));
    expect((byId("recovery-confirm") as HTMLButtonElement).disabled).toBe(true);
    await userEvent.click(byId("recovery-kept"));
    await userEvent.click(byId("recovery-confirm"));
    await appears("recovery-done");
    await vi.waitFor(() => expect(allById("recovery-card")).toHaveLength(0));
  });

  it("opens old messages on a new device, and says when it is not the right one", async () => {
    const backend = quickBackend();
    backend.statusNow = { ...backend.statusNow, recovery: "needed" };
    openApp(backend);
    await userEvent.click(await appears("recovery-open"));
    await userEvent.type(await appears("recovery-input"), "faux");
    await userEvent.click(byId("recovery-submit"));
    await says("Ce n’est pas la bonne clé");
    await expectAccessible(byId("recovery-dialog"));
    await userEvent.clear(byId("recovery-input"));
    await userEvent.type(byId("recovery-input"), "EsTc 8Kd2");
    await userEvent.click(byId("recovery-submit"));
    await appears("recovery-done");
  });
});

describe("the palette", () => {
  it("finds rooms, people and actions from anywhere", async () => {
    openApp();
    await appears("today");
    await userEvent.keyboard("{Control>}k{/Control}");
    await appears("palette-input");
    await expectAccessible(byId("palette"));
    await userEvent.keyboard("wouter");
    await says("Anesthésiste");
    await userEvent.keyboard("{Enter}");
    await vi.waitFor(() => expect(byId("room-name").textContent).toBe("Wouter De Smet"));
    expect(allById("palette")).toHaveLength(0);
  });

  it("says that nothing was found, and closes with Escape", async () => {
    openApp();
    await appears("today");
    await userEvent.keyboard("{Control>}k{/Control}");
    await userEvent.type(await appears("palette-input"), "qqqq");
    await says("Rien de ce nom");
    await expectAccessible(byId("palette"));
    await userEvent.keyboard("{Escape}");
    await vi.waitFor(() => expect(allById("palette")).toHaveLength(0));
  });
});

describe("the connection page", () => {
  it("shows every service and what was verified", async () => {
    openApp();
    await userEvent.click(await appears("connection-badge"));
    await appears("connection");
    await says("tous répondent");
    await says("24 ms");
    await expectAccessible();
  });

  it("says what does not answer, since when, why, and when it is tried again", async () => {
    const backend = quickBackend();
    const [first, ...rest] = backend.connectionNow.services;
    if (!first) throw new Error("no service");
    backend.connectionNow = {
      ...backend.connectionNow,
      overall: "degraded",
      services: [{ ...first, status: { state: "wrongCertificate", retryAt: Date.now() + 30_000 } }, ...rest],
    };
    openApp(backend);
    await userEvent.click(await appears("connection-badge"));
    await says("Certificat inattendu");
    await says(/Nouvel essai dans (30|29) s/u);
    await says("un ne répond pas");
    await expectAccessible();
  });

  it.each([
    ["offline", "sans réseau"],
    ["captivePortal", "Ce réseau demande une page d’accueil"],
    ["internetOnly", "Services injoignables"],
    ["checking", "Vérification"],
  ] as const)("has words for %s", async (overall, part) => {
    const backend = quickBackend();
    backend.connectionNow = { ...backend.connectionNow, overall, services: overall === "checking" ? [] : backend.connectionNow.services };
    openApp(backend);
    await userEvent.click(await appears("connection-badge"));
    await says(part);
    await expectAccessible();
  });

  it("copies the diagnostics for support", async () => {
    const { backend } = openApp();
    await userEvent.click(await appears("connection-badge"));
    await userEvent.click(await appears("copy-diagnostics"));
    await says("Collez-le dans votre demande");
    expect(backend.calls).toContain("copyDiagnostics");
  });
});

describe("settings", () => {
  it("changes language and theme at once", async () => {
    const { backend } = openApp();
    await appears("frame");
    backend.navigate({ place: "settings", room: null });
    await appears("settings-language");
    await expectAccessible();
    await userEvent.click(byId("settings-language").querySelector("[data-value=nl]") as HTMLElement);
    await says("Instellingen");
    expect(document.documentElement.lang).toBe("nl");
    await userEvent.click(byId("settings-theme").querySelector("[data-value=contrast]") as HTMLElement);
    await vi.waitFor(() => expect(document.documentElement.dataset.theme).toBe("contrast"));
  });

  it("shows a managed setting disabled, with its reason", async () => {
    const backend = quickBackend();
    backend.settingsNow = { ...backend.settingsNow, managed: { startAtLogin: "poste partagé" } };
    openApp(backend);
    await appears("frame");
    backend.navigate({ place: "settings", room: null });
    await says("Décidé par votre organisation : poste partagé");
    expect((byId("settings-start-at-login") as HTMLButtonElement).disabled).toBe(true);
    await expectAccessible();
  });

  it("keeps the old value when a change is refused", async () => {
    const backend = quickBackend();
    openApp(backend);
    await appears("frame");
    backend.navigate({ place: "settings", room: null });
    backend.failing.set("change", problem("settings.managed"));
    await userEvent.click(await appears("settings-notifications"));
    await says("Ce réglage est décidé par votre organisation");
    expect(byId("settings-notifications").getAttribute("aria-checked")).toBe("true");
  });

  it("lists the devices and what this program is", async () => {
    const { backend } = openApp();
    await appears("frame");
    backend.navigate({ place: "settings", room: null });
    await vi.waitFor(() => expect(allById("device-row")).toHaveLength(3));
    await says("WebKitGTK 2.50");
  });
});
