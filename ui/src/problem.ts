// From a problem's code to what a person reads: what happened, what was kept, what to do.
import type { Problem } from "~/backend/backend";
import { m } from "~/paraglide/messages";

type Sentence = (data: Record<string, string>) => string;

const given = (data: Record<string, string>, name: string): string => data[name] ?? "?";

const sentences = {
  "organisation.notFound": () => m.problem_organisation_not_found(),
  "organisation.badDocument": (data) => m.problem_organisation_bad_document({ place: given(data, "place") }),
  "organisation.unsupportedVersion": () => m.problem_organisation_unsupported_version(),
  "organisation.insecure": () => m.problem_organisation_insecure(),
  "organisation.redirected": (data) => m.problem_organisation_redirected({ to: given(data, "to") }),
  "organisation.tooLarge": () => m.problem_organisation_too_large(),
  "organisation.slow": () => m.problem_organisation_slow(),
  "organisation.badAddress": () => m.problem_organisation_bad_address(),
  "network.offline": () => m.problem_network_offline(),
  "network.timeout": () => m.problem_network_timeout(),
  "network.refused": () => m.problem_network_refused(),
  "network.dns": () => m.problem_network_dns(),
  "network.wrongCertificate": () => m.problem_network_wrong_certificate(),
  "network.captivePortal": () => m.problem_network_captive_portal(),
  "network.server": (data) => m.problem_network_server({ status: given(data, "status") }),
  "network.protocol": () => m.problem_network_protocol(),
  "signIn.cancelled": () => m.problem_sign_in_cancelled(),
  "signIn.timedOut": () => m.problem_sign_in_timed_out(),
  "signIn.refused": () => m.problem_sign_in_refused(),
  "signIn.blocked": () => m.problem_sign_in_blocked(),
  "signIn.clockOff": (data) => m.problem_sign_in_clock_off({ minutes: given(data, "minutes") }),
  "signIn.portsBusy": () => m.problem_sign_in_ports_busy(),
  "signIn.stateMismatch": () => m.problem_sign_in_state_mismatch(),
  "signIn.tokenInvalid": () => m.problem_sign_in_token_invalid(),
  "signIn.wrongPassword": () => m.problem_sign_in_wrong_password(),
  "signIn.revoked": () => m.problem_sign_in_revoked(),
  "signIn.browser": () => m.problem_sign_in_browser(),
  "keyring.locked": () => m.problem_keyring_locked(),
  "keyring.missing": () => m.problem_keyring_missing(),
  "keyring.failed": () => m.problem_keyring_failed(),
  "chat.notSignedIn": () => m.problem_chat_not_signed_in(),
  "chat.sendFailed": () => m.problem_chat_send_failed(),
  "chat.tooLarge": (data) => m.problem_chat_too_large({ max: given(data, "max") }),
  "chat.forbidden": () => m.problem_chat_forbidden(),
  "chat.rateLimited": () => m.problem_chat_rate_limited(),
  "chat.recoveryWrongKey": () => m.problem_chat_recovery_wrong_key(),
  "chat.storeCorrupt": () => m.problem_chat_store_corrupt(),
  "chat.storeLocked": () => m.problem_chat_store_locked(),
  "chat.diskFull": () => m.problem_chat_disk_full(),
  "chat.fileUnreadable": (data) => m.problem_chat_file_unreadable({ name: given(data, "name") }),
  "chat.mediaUnavailable": () => m.problem_chat_media_unavailable(),
  "chat.roomUnknown": () => m.problem_chat_room_unknown(),
  "policy.unreadable": (data) => m.problem_policy_unreadable({ place: given(data, "place") }),
  "settings.managed": () => m.problem_settings_managed(),
  "link.refused": () => m.problem_link_refused(),
  "tunnel.captivePortal": () => m.problem_tunnel_captive_portal(),
  "tunnel.gatewaySilent": () => m.problem_tunnel_gateway_silent(),
  "tunnel.gatewaySilentNetworkFine": () => m.problem_tunnel_gateway_silent_network_fine(),
  "tunnel.gatewayUnreachable": () => m.problem_tunnel_gateway_unreachable(),
  "tunnel.impostor": () => m.problem_tunnel_impostor(),
  "tunnel.insideAlready": () => m.problem_tunnel_inside_already(),
  "tunnel.leadsInside": () => m.problem_tunnel_leads_inside(),
  "tunnel.leadsOutside": () => m.problem_tunnel_leads_outside(),
  "tunnel.namesDead": () => m.problem_tunnel_names_dead(),
  "tunnel.namesLie": () => m.problem_tunnel_names_lie(),
  "tunnel.networkChanged": () => m.problem_tunnel_network_changed(),
  "tunnel.noAnswerInside": () => m.problem_tunnel_no_answer_inside(),
  "tunnel.noNetwork": () => m.problem_tunnel_no_network(),
  "tunnel.notAllowed": () => m.problem_tunnel_not_allowed(),
  "tunnel.outside": () => m.problem_tunnel_outside(),
  "tunnel.port": () => m.problem_tunnel_port(),
  "tunnel.profileUnreadable": () => m.problem_tunnel_profile_unreadable(),
  "tunnel.profileWrong": (data) => m.problem_tunnel_profile_wrong({ line: given(data, "line"), place: given(data, "place") }),
  "tunnel.protocol": () => m.problem_tunnel_protocol(),
  "tunnel.retrying": () => m.problem_tunnel_retrying(),
  "tunnel.sessionEnded": () => m.problem_tunnel_session_ended(),
  "tunnel.sessionMade": () => m.problem_tunnel_session_made(),
  "tunnel.signInAgain": () => m.problem_tunnel_sign_in_again(),
  "tunnel.starting": () => m.problem_tunnel_starting(),
  "tunnel.stopped": () => m.problem_tunnel_stopped(),
  "tunnel.tooManySessions": () => m.problem_tunnel_too_many_sessions(),
  "tunnel.verified": () => m.problem_tunnel_verified(),
  "tunnel.wokeUp": () => m.problem_tunnel_woke_up(),
  "tunnel.wrongAnswer": () => m.problem_tunnel_wrong_answer(),
  "tunnel.wrongCredentials": () => m.problem_tunnel_wrong_credentials(),
  internal: () => m.problem_internal(),
} satisfies Record<string, Sentence>;

/** Every code that has its own sentence. */
export const knownCodes = Object.keys(sentences);

export function sentence(problem: Problem): string {
  const known = (sentences as Record<string, Sentence | undefined>)[problem.code];
  if (known !== undefined) return known(problem.data);
  return m.problem_unknown({ code: problem.code });
}
