// Rooms and two weeks of conversation, told from one moment ("now") so that it always looks fresh.
import type { Author, Body, Item, Message, Node, Room } from "../backend";
import { author, me, myself, people } from "./people";

export const MINUTE = 60_000;
const DAY = 86_400_000;

export type Conversation = { room: Room; items: Message[]; notices: Item[]; readTo: string | null };

const text = (words: string): Node => ({ tag: "text", text: words });

export function said(words: string): Body {
  return { type: "text", nodes: rich(words), emote: false, notice: false, truncated: false };
}

/** Enough Markdown for a fake: mentions, strong words, links and lines. */
export function rich(words: string): Node[] {
  const nodes: Node[] = [];
  const pattern = /(\*\*[^*]+\*\*|https?:\/\/\S+|@[\p{L}-]+ [\p{L}-]+|\n)/gu;
  for (const part of words.split(pattern)) {
    if (part === "") continue;
    if (part === "\n") nodes.push({ tag: "break" });
    else if (part.startsWith("**")) nodes.push({ tag: "element", name: "strong", children: [text(part.slice(2, -2))] });
    else if (part.startsWith("http")) nodes.push({ tag: "link", href: part, children: [text(part)] });
    else if (part.startsWith("@")) nodes.push(mention(part.slice(1)));
    else nodes.push(text(part));
  }
  return nodes;
}

function mention(name: string): Node {
  const person = people.find((known) => known.name.endsWith(name));
  if (name === me.name) return { tag: "mention", userId: me.userId, name, me: true };
  return person ? { tag: "mention", userId: person.id, name: person.name, me: false } : text(`@${name}`);
}

let counter = 0;
export function message(by: Author, at: number, body: Body, more: Partial<Message> = {}): Message {
  counter += 1;
  return {
    kind: "message",
    id: `i${counter}`,
    eventId: `$event${counter}`,
    author: by,
    mine: by.id === me.userId,
    at,
    body,
    sending: { state: "sent" },
    edited: false,
    reply: null,
    readBy: [],
    readByCount: 0,
    mentionsMe: body.type === "text" && mentionsMe(body.nodes),
    clear: false,
    ...more,
  };
}

function mentionsMe(nodes: readonly Node[]): boolean {
  return nodes.some((node) => node.tag === "mention" && node.me);
}

/** A picture drawn on the spot: the fake has no files. */
function drawing(width: number, height: number, hue: number, label: string): string {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="hsl(${hue} 35% 78%)"/><stop offset="1" stop-color="hsl(${hue + 40} 40% 52%)"/></linearGradient></defs><rect width="100%" height="100%" fill="url(#g)"/><path d="M0 ${height * 0.6}h${width * 0.3}l20-60 26 120 24-90 14 30h${width}" fill="none" stroke="#fff" stroke-width="5" opacity=".85"/><text x="24" y="${height - 24}" font-family="sans-serif" font-size="22" fill="#fff">${label}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

function room(part: Partial<Room> & Pick<Room, "id" | "name" | "kind">): Room {
  return {
    avatar: null,
    person: null,
    topic: null,
    last: null,
    at: 0,
    unread: 0,
    mentions: 0,
    marked: false,
    favourite: false,
    muted: false,
    encrypted: true,
    members: part.kind === "direct" ? 2 : 24,
    invited: false,
    inviter: null,
    ...part,
  };
}

function conversation(part: Partial<Room> & Pick<Room, "id" | "name" | "kind">, items: Message[]): Conversation {
  const made = room(part);
  return withLast({ room: made, items, notices: [], readTo: items.at(-1 - made.unread)?.eventId ?? null });
}

/** The room's line and time follow its newest message. */
export function withLast(talk: Conversation): Conversation {
  const last = talk.items.at(-1);
  if (last === undefined) return talk;
  const body = last.body;
  const kind = body.type === "text" || body.type === "image" || body.type === "file" || body.type === "redacted" ? body.type : body.type === "undecryptable" ? "encrypted" : "other";
  const words = body.type === "text" ? plain(body.nodes) : body.type === "image" || body.type === "file" ? body.name : "";
  talk.room = {
    ...talk.room,
    at: last.at,
    last: { mine: last.mine, sender: last.author.name, kind, text: words, at: last.at, sending: last.sending.state !== "sent" },
  };
  return talk;
}

function plain(nodes: readonly Node[]): string {
  return nodes
    .map((node) =>
      node.tag === "text" ? node.text : node.tag === "mention" ? `@${node.name}` : node.tag === "break" ? " " : plain(node.children),
    )
    .join("");
}

export function conversations(now: number): Conversation[] {
  const today = (minutes: number) => now - minutes * MINUTE;
  const ago = (days: number, minutes = 0) => now - days * DAY - minutes * MINUTE;
  const leroy = author("Dr Marie Leroy");
  const brandt = author("Nathalie Brandt");
  const dupont = author("Pierre Dupont");
  const amrani = author("Sofia Amrani");
  const lambert = author("Julie Lambert");
  const vermeulen = author("Thomas Vermeulen");
  const renard = author("Bruno Renard");
  const haddad = author("Karim Haddad");

  const request = message(dupont, today(26), said("@Camille Martin peux-tu déplacer celle de 11 h 20 ? Je serai au bloc jusqu’à midi."));
  const cardiology = [
    ...olderTalk(ago(6), [leroy, brandt, dupont, amrani, lambert]),
    message(lambert, ago(1, 130), said("Le lit 12 est libre. La famille de M. Caron a été prévenue.")),
    message(myself, ago(1, 122), said("Merci Julie, je mets à jour l’agenda.")),
    message(leroy, today(71), said("Bonjour à tous. Le planning de garde de décembre est prêt, merci de signaler les conflits avant jeudi.")),
    message(leroy, today(71) + 20_000, {
      type: "file",
      name: "Gardes-decembre.pdf",
      mime: "application/pdf",
      size: 184_320,
      media: "fake:gardes",
      caption: null,
    }),
    message(brandt, today(57), said("Quatre téléconsultations ajoutées ce matin pour le Dr Dupont. La patiente de 10 h a testé son téléphone, tout fonctionne.")),
    request,
    message(leroy, today(20), said("Planning mis à jour : Pierre et Sofia échangent le **12** et le **19**."), {
      readBy: [brandt, dupont, amrani, lambert, vermeulen],
      readByCount: 11,
    }),
  ];

  const nathalie = [
    message(brandt, ago(2, 40), said("Tu as vu le nouveau formulaire de transfert ?")),
    message(myself, ago(2, 38), said("Oui, il est plus court. Enfin !")),
    message(brandt, today(44), {
      type: "image",
      name: "tracé-10h.png",
      mime: "image/svg+xml",
      size: 96_400,
      width: 1280,
      height: 720,
      src: drawing(1280, 720, 190, "Tracé, dérivation II"),
      media: "fake:trace",
      caption: null,
      tooLarge: false,
    }),
    message(brandt, today(43), said("C’est bien ce tracé qu’attend le Dr Leroy ?")),
    message(myself, today(24), said("la patiente de 10 h a confirmé"), { readBy: [brandt], readByCount: 1 }),
  ];

  const crisis = [
    message(renard, ago(1, 300), said("La cellule se réunit demain à 11 h, salle 204 et en vidéo.")),
    message(renard, today(31), said("Point de 11 h : ordre du jour\n1. Lits disponibles\n2. Personnel de nuit\n3. Communication")),
  ];

  const it = [
    message(haddad, ago(3), said("Maintenance de la messagerie dimanche de 6 h à 7 h.")),
    message(haddad, today(65), said("VPN : rien à faire de votre côté, tout est rétabli. Détails sur https://intranet.saint-elme.example/etat")),
  ];

  const simple = (by: Author, at: number, words: string) => [message(by, at, said(words))];
  const direct = (name: string, more: Partial<Room> = {}) => ({ id: `!${author(name).id.slice(1)}`, name, kind: "direct" as const, person: author(name).id, ...more });

  return [
    conversation({ id: "!cardio:saint-elme.example", name: "Cardiologie", kind: "channel", favourite: true, unread: 2, mentions: 1, topic: "Service et consultations" }, cardiology),
    conversation(direct("Nathalie Brandt", { favourite: true }), nathalie),
    conversation({ id: "!crise:saint-elme.example", name: "Cellule de crise", kind: "channel", unread: 1, members: 16 }, crisis),
    conversation(direct("Pierre Dupont"), [
      message(dupont, today(52), said("En consultation jusqu’à 10:15")),
      message(myself, today(50), said("Entendu, je préviens M. Haddad."), { reply: { eventId: "$none", author: dupont, text: "En consultation jusqu’à 10:15" } }),
      message(dupont, today(50), { type: "undecryptable", reason: "keyMissing" }),
    ]),
    conversation({ id: "!it:saint-elme.example", name: "Informatique", kind: "channel", members: 212, muted: true, unread: 4, encrypted: false }, it),
    conversation(direct("Sofia Amrani"), simple(amrani, ago(1, 60), "Merci, bien reçu")),
    conversation({ id: "!secretariat:saint-elme.example", name: "Secrétariat central", kind: "channel", members: 9 }, simple(brandt, ago(1, 95), "3 messages non remis à rappeler demain matin")),
    conversation(direct("Julie Lambert"), [
      message(lambert, ago(1, 180), { type: "file", name: "compte-rendu-type.docx", mime: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", size: 48_120, media: "fake:cr", caption: null }),
    ]),
    conversation(direct("Thomas Vermeulen"), simple(vermeulen, ago(3), "À demain")),
    conversation(direct("Griet Peeters"), simple(author("Griet Peeters"), ago(4), "Dank je wel, tot morgen!")),
    conversation({ id: "!urgences:saint-elme.example", name: "Urgences", kind: "channel", members: 41 }, simple(author("Hugo Morel"), ago(5), "Box 4 libéré.")),
    conversation({ id: "!pharmacie:saint-elme.example", name: "Pharmacie", kind: "channel", members: 33 }, simple(author("Amina Kaddour"), ago(6), "Rupture d’amiodarone injectable jusqu’à mardi, équivalence dans le dossier.")),
    conversation({ id: "!conseil:saint-elme.example", name: "Conseil médical", kind: "channel", invited: true, inviter: "Bruno Renard", members: 12, topic: "Réunion mensuelle" }, []),
  ];
}

const phrases = [
  "Transfert confirmé pour 14 h.",
  "Le dossier est complet, je le mets dans le chariot du matin.",
  "Qui prend la garde de samedi ? Il manque quelqu’un de 8 h à 14 h, et la liste doit partir ce soir.",
  "Je m’en occupe.",
  "Échographie déplacée à 16 h 30, la patiente est prévenue.",
  "Merci !",
  "Le résultat du laboratoire est arrivé : potassium à 4,1, rien à changer.",
  "La salle 3 est de nouveau disponible.",
  "Pensez à clôturer les comptes rendus de vendredi avant midi, sinon la facturation les refuse et nous devons tout reprendre à la main.",
  "Bien noté.",
];

/** A believable stretch of talk between some people, from a moment on. */
export function olderTalk(from: number, by: readonly Author[], count = 60): Message[] {
  const items: Message[] = [];
  let at = from;
  for (let index = 0; index < count; index += 1) {
    const speaker = (index * 7 + (index >> 2)) % by.length;
    at += index % 11 === 0 ? 5 * 3_600_000 : index % 3 === 0 ? 40_000 : 9 * MINUTE;
    items.push(message(by[speaker] ?? myself, Math.min(at, from + 4.5 * DAY), said(phrases[(index * 3 + speaker) % phrases.length] ?? "")));
  }
  return items;
}

/** More rooms and messages, for looking at long lists. */
export function manyRooms(now: number, count: number): Conversation[] {
  return Array.from({ length: count }, (_, at) => {
    const by = people[at % people.length];
    const items = [message(author(by?.name ?? "Dr Marie Leroy"), now - (at + 8) * 37 * MINUTE, said(phrases[at % phrases.length] ?? ""))];
    return conversation({ id: `!many${at}:saint-elme.example`, name: `Équipe ${at + 1}`, kind: "channel", members: 3 + (at % 40), unread: at % 9 === 0 ? 1 + (at % 4) : 0 }, items);
  });
}
