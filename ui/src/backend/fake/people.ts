// The people of the imaginary hospital on which the interface runs without the program.
import type { Author, Me, Organisation, Person } from "../backend";

export const organisation: Organisation = {
  domain: "saint-elme.example",
  name: "Cliniques Saint-Elme",
  signIn: "browser",
  secondFactor: "sms",
  help: "Poste 4040, jour et nuit",
  accent: null,
  stale: false,
  problem: null,
};

export const me: Me = {
  userId: "@camille.martin:saint-elme.example",
  name: "Camille Martin",
  email: "camille.martin@saint-elme.example",
  function: "Secrétaire médicale",
  department: "Cardiologie",
  avatar: null,
};

const named: [name: string, work: string][] = [
  ["Dr Marie Leroy", "Cheffe de service, cardiologie"],
  ["Nathalie Brandt", "Secrétariat, cardiologie"],
  ["Pierre Dupont", "Cardiologue"],
  ["Sofia Amrani", "Rythmologue"],
  ["Julie Lambert", "Infirmière cheffe"],
  ["Thomas Vermeulen", "Cardiologue"],
  ["Amina Kaddour", "Pharmacienne"],
  ["Bruno Renard", "Direction, cellule de crise"],
  ["Inès Rossi", "Kinésithérapeute"],
  ["Karim Haddad", "Technicien, informatique"],
  ["Léa Fontaine", "Interprète"],
  ["Hugo Morel", "Urgentiste"],
  ["Claire Noël", "Radiologue"],
  ["Yves Caron", "Brancardage"],
  ["Wouter De Smet", "Anesthésiste"],
  ["Griet Peeters", "Verpleegkundige"],
  ["Omar Diallo", "Interne"],
  ["Jeanne Roy", "Sage-femme"],
  ["Ali Benali", "Laboratoire"],
  ["Mila Perrin", "Accueil"],
];

export const people: Person[] = named.map(([name, work]) => ({ id: idOf(name), name, avatar: null, function: work }));

export const myself: Author = { id: me.userId, name: me.name, avatar: null, ambiguous: false };

export function author(name: string): Author {
  return { id: idOf(name), name, avatar: null, ambiguous: false };
}

function idOf(name: string): string {
  const plain = name.replace(/^Dr /u, "").normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return `@${plain.replace(/\s+/gu, ".")}:saint-elme.example`;
}
