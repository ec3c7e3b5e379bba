/** Two letters that stand for a person: first and last word, titles such as "Dr" left out. */
export function initials(name: string): string {
  const words = name
    .normalize("NFC")
    .split(/[\s\-_.]+/u)
    .map((word) => word.replace(/[^\p{L}\p{N}]/gu, ""))
    .filter((word) => word.length > 0);
  const named = words.filter((word) => !/^(dr|pr|prof|mme|mlle|m|mr|mrs|ms|dhr|mevr)$/iu.test(word));
  const used = named.length > 0 ? named : words;
  const first = used[0];
  if (first === undefined) return "?";
  const last = used.length > 1 ? used[used.length - 1] : undefined;
  return (firstLetter(first) + (last === undefined ? "" : firstLetter(last))).toLocaleUpperCase();
}

/** One of the eight face colours, the same for the same person on every device. */
export function faceColour(key: string): string {
  let hash = 0;
  for (let at = 0; at < key.length; at += 1) hash = (hash * 31 + key.charCodeAt(at)) >>> 0;
  return `var(--face-${hash % 8})`;
}

function firstLetter(word: string): string {
  return [...word][0] ?? "";
}
