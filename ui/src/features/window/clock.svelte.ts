// Time as a reactive value. It ticks only while something on screen reads it, so an idle window
// sleeps: once a minute for dates, once a second for countdowns.
import { createSubscriber } from "svelte/reactivity";

function ticking(every: number): { readonly now: number } {
  const subscribe = createSubscriber((update) => {
    let timer: ReturnType<typeof setTimeout>;
    const tick = () => {
      update();
      timer = setTimeout(tick, every - (Date.now() % every));
    };
    timer = setTimeout(tick, every - (Date.now() % every));
    return () => clearTimeout(timer);
  });
  return {
    get now() {
      subscribe();
      return Date.now();
    },
  };
}

export const minutes = ticking(60_000);
export const seconds = ticking(1000);
