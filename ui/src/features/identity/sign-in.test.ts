import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { problem } from "~/backend/fake";
import { me, organisation } from "~/backend/fake/people";
import { expectAccessible } from "~/test/axe";
import { allById, appears, byId, openApp, quickBackend, says } from "~/test/stage";
import { OrganisationSearch, looksComplete } from "./organisation.svelte";

function signedOut(address: string | null = null, code?: string) {
  const backend = quickBackend();
  backend.sessionNow = { state: "signedOut", address, problem: code === undefined ? null : problem(code, { minutes: "9" }) };
  return backend;
}

describe("signing in", () => {
  it("finds the organisation of an address and goes to the browser", async () => {
    const { backend } = openApp(signedOut());
    const field = await appears("address-input");
    expect(document.activeElement).toBe(field);
    await expectAccessible();
    await userEvent.type(field, "camille.martin@saint-elme.example");
    expect((await appears("organisation-name")).textContent).toBe("Cliniques Saint-Elme");
    await says("avec un code par SMS");
    await expectAccessible();
    await userEvent.click(byId("continue"));
    await appears("browser-waiting");
    await expectAccessible();
    backend.setSession({ state: "completing", organisation });
    await appears("completing");
    await expectAccessible();
    backend.setSession({ state: "signedIn", me, organisation, problem: null });
    await appears("frame");
  });

  it("asks about a whole address once, not at every key", async () => {
    const { backend } = openApp(signedOut());
    await userEvent.type(await appears("address-input"), "a.b@saint-elme.example");
    await appears("organisation-name");
    expect(backend.calls.filter((call) => call === "find")).toHaveLength(1);
  });

  it("searches the prefilled address by itself", async () => {
    openApp(signedOut("camille.martin@saint-elme.example"));
    await appears("organisation-name");
  });

  it("signs in with a password where there is no browser sign-in", async () => {
    const { backend } = openApp(signedOut("x@motdepasse.example"));
    const password = await appears("password-input");
    await expectAccessible();
    await userEvent.type(password, "faux");
    await userEvent.click(byId("continue"));
    await says("Nom d’utilisateur ou mot de passe incorrect");
    expect((byId("password-input") as HTMLInputElement).value).toBe("");
    await userEvent.type(byId("password-input"), "juste");
    await userEvent.click(byId("continue"));
    await appears("frame");
    expect(backend.calls.filter((call) => call === "password")).toHaveLength(2);
  });

  it("says that an organisation was not found, and keeps what was typed", async () => {
    openApp(signedOut());
    await userEvent.type(await appears("address-input"), "a@inconnu.example");
    await says("Aucune organisation Cordée à cette adresse");
    await expectAccessible();
    expect((byId("address-input") as HTMLInputElement).value).toBe("a@inconnu.example");
  });

  it("says when the last known settings are in use", async () => {
    openApp(signedOut("a@ancien.example"));
    await says("derniers réglages connus");
    await expectAccessible();
  });

  it.each([
    ["signIn.cancelled", "Connexion annulée"],
    ["signIn.timedOut", "à temps"],
    ["signIn.blocked", "bloqué"],
    ["signIn.clockOff", "décalée de 9 min"],
    ["network.wrongCertificate", "identité du serveur"],
  ])("shows %s above the form", async (code, part) => {
    openApp(signedOut(null, code));
    await appears("problem");
    await says(part);
    await expectAccessible();
  });

  it("comes back from the browser when it is cancelled", async () => {
    const backend = quickBackend();
    backend.sessionNow = { state: "browser", organisation, since: Date.now() - 60_000, url: "https://auth.saint-elme.example/" };
    openApp(backend);
    await says("La page ne s’est pas ouverte");
    await userEvent.click(await appears("sign-in-cancel"));
    await appears("address-input");
  });

  it("copies the link for another browser", async () => {
    const written = vi.fn().mockResolvedValue(undefined);
    userEvent.setup();
    Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText: written } });
    const backend = quickBackend();
    backend.sessionNow = { state: "browser", organisation, since: Date.now(), url: "https://auth.saint-elme.example/x" };
    openApp(backend);
    (await appears("copy-link")).click();
    await says("Copié");
    expect(written).toHaveBeenCalledWith("https://auth.saint-elme.example/x");
  });

  it("keeps everything and offers to try again when the keyring is locked", async () => {
    const backend = quickBackend();
    backend.sessionNow = { state: "locked", problem: problem("keyring.locked") };
    backend.failing.set("retryKeyring", problem("keyring.locked"));
    openApp(backend);
    await appears("locked");
    await says("Rien n’a été supprimé");
    await expectAccessible();
    await userEvent.click(byId("keyring-retry"));
    await says("Toujours fermé");
  });

  it("tells the program once that the first screen is painted", async () => {
    const { backend } = openApp(signedOut());
    await appears("address-input");
    await vi.waitFor(() => expect(backend.calls.filter((call) => call === "uiReady")).toHaveLength(1));
  });
});

describe("signing out", () => {
  it("warns about the missing key, then reports what could not be undone", async () => {
    openApp();
    await userEvent.click(await appears("own-menu"));
    await userEvent.click(await appears("sign-out"));
    await appears("sign-out-confirm");
    await says("Sans clé de récupération");
    await expectAccessible(document.querySelector('[role="dialog"]') ?? document.body);
    await userEvent.click(byId("sign-out-confirm"));
    await appears("sign-out-report");
    await says("Cet appareil figure encore dans votre liste");
    expect(allById("frame")).toHaveLength(0);
  });
});

describe("the search for an organisation", () => {
  it.each([
    ["camille@saint-elme.example", true],
    ["saint-elme.example", true],
    ["camille@localhost:8443", true],
    ["localhost", true],
    ["camille", false],
    ["camille@", false],
    ["camille@hopital", false],
    ["a b@c.d", false],
  ])("takes %s as complete: %s", (address, complete) => {
    expect(looksComplete(address)).toBe(complete);
  });

  it("listens only to the newest answer", async () => {
    const backend = quickBackend();
    const search = new OrganisationSearch(backend);
    const first = search.now("a@inconnu.example");
    const second = search.now("b@saint-elme.example");
    await Promise.all([first, second]);
    expect(search.current.state === "found" && search.current.address).toBe("b@saint-elme.example");
  });
});
