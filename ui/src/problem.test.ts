import { describe, expect, it } from "vitest";
import { locales } from "~/paraglide/runtime";
import { speak } from "~/language.svelte";
import { knownCodes, sentence } from "./problem";

/** The codes of the contract with Rust. */
const contract = `
organisation.notFound organisation.badDocument organisation.unsupportedVersion organisation.insecure
organisation.redirected organisation.tooLarge organisation.slow organisation.badAddress
network.offline network.timeout network.refused network.dns network.wrongCertificate
network.captivePortal network.server network.protocol policy.unreadable
signIn.cancelled signIn.timedOut signIn.refused signIn.blocked signIn.clockOff signIn.portsBusy
signIn.stateMismatch signIn.tokenInvalid signIn.wrongPassword signIn.revoked signIn.browser
keyring.locked keyring.missing keyring.failed
chat.notSignedIn chat.sendFailed chat.tooLarge chat.forbidden chat.rateLimited chat.recoveryWrongKey
chat.storeCorrupt chat.storeLocked chat.diskFull chat.fileUnreadable chat.mediaUnavailable chat.roomUnknown
tunnel.captivePortal tunnel.gatewaySilent tunnel.gatewaySilentNetworkFine tunnel.gatewayUnreachable
tunnel.impostor tunnel.insideAlready tunnel.leadsInside tunnel.leadsOutside tunnel.namesDead
tunnel.namesLie tunnel.networkChanged tunnel.noAnswerInside tunnel.noNetwork tunnel.notAllowed
tunnel.outside tunnel.port tunnel.profileUnreadable tunnel.profileWrong tunnel.protocol
tunnel.retrying tunnel.sessionEnded tunnel.sessionMade tunnel.signInAgain tunnel.starting
tunnel.stopped tunnel.tooManySessions tunnel.verified tunnel.wokeUp tunnel.wrongAnswer
tunnel.wrongCredentials
settings.managed link.refused internal`
  .trim()
  .split(/\s+/u);

const say = (code: string, data: Record<string, string> = {}) =>
  sentence({ code, data, logId: "1", retry: { kind: "permanent" } });

describe("problems", () => {
  it("has a sentence of its own for every code of the contract", () => {
    expect(knownCodes.toSorted()).toEqual(contract.toSorted());
  });

  it.each(locales)("says every code in %s, differently from the others", (language) => {
    speak(language);
    const unknown = say("not.a.code");
    const said = contract.map((code) => say(code, { place: "services", to: "autre.be", status: "503", minutes: "7", max: "50 Mo", name: "a.pdf", line: "12" }));
    expect(new Set(said).size).toBe(contract.length);
    for (const words of said) {
      expect(words).not.toBe(unknown);
      expect(words).not.toContain("{");
      expect(words).not.toContain("?)");
      expect(words.length).toBeGreaterThan(20);
    }
  });

  it("puts what Rust knows into the sentence", () => {
    expect(say("organisation.redirected", { to: "ailleurs.example" })).toContain("ailleurs.example");
    expect(say("signIn.clockOff", { minutes: "12" })).toContain("12");
  });

  it("is honest about a code it does not know", () => {
    expect(say("future.code")).toContain("future.code");
  });
});
