// Every sentence exists in every language, with the same placeholders, and every sentence is used.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../src/", import.meta.url));
const languages = ["fr", "nl", "en"];
const sentences = Object.fromEntries(
  languages.map((language) => [language, JSON.parse(readFileSync(join(root, `messages/${language}.json`), "utf8"))]),
);
const problems = [];

const placeholders = (value) => [...new Set(JSON.stringify(value).match(/\{\w+\}/gu) ?? [])].sort().join(" ");
const written = (value) => (typeof value === "string" ? [value] : value.flatMap((variant) => Object.values(variant.match)));

const keys = new Set(languages.flatMap((language) => Object.keys(sentences[language])));
keys.delete("$schema");
for (const key of keys) {
  const missing = languages.filter((language) => !(key in sentences[language]));
  if (missing.length > 0) {
    problems.push(`${key}: missing in ${missing.join(", ")}`);
    continue;
  }
  for (const language of languages) {
    const value = sentences[language][key];
    if (written(value).some((sentence) => sentence.trim() === "")) problems.push(`${key}: empty in ${language}`);
    if (placeholders(value).replace("{count}", "").trim() !== placeholders(sentences.fr[key]).replace("{count}", "").trim()) {
      problems.push(`${key}: ${language} has other placeholders than fr`);
    }
  }
}

const source = readdirSync(root, { recursive: true })
  .filter((file) => /\.(svelte|ts)$/u.test(file) && !file.startsWith("paraglide") && !/\.test\.ts$/u.test(file))
  .map((file) => readFileSync(join(root, file), "utf8"))
  .join("\n");
const used = new Set([...source.matchAll(/\bm\.([a-z][a-z0-9_]*)/gu)].map((found) => found[1]));
for (const key of keys) if (!used.has(key)) problems.push(`${key}: never used`);
for (const key of used) if (!keys.has(key)) problems.push(`${key}: used but not written`);

for (const problem of problems) console.error(problem);
console.log(`${keys.size} sentences in ${languages.length} languages, ${problems.length} problems`);
process.exit(problems.length > 0 ? 1 : 0);
