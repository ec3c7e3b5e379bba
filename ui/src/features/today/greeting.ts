import { m } from "~/paraglide/messages";

/** "Dr Pierre Dupont" is greeted as Pierre. */
export function firstName(name: string): string {
  const words = name.trim().split(/\s+/u);
  const named = words.filter((word) => !/^(dr|pr|prof|mme|mlle|mr?|mrs|ms|dhr|mevr)\.?$/iu.test(word));
  return named[0] ?? name;
}

export function greeting(hour: number, name: string): string {
  return hour >= 18 || hour < 4 ? m.greeting_evening({ name }) : m.greeting_day({ name });
}
