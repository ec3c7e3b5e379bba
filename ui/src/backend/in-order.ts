/**
 * Runs tasks of one key one after another, in the order in which they were asked for.
 *
 * Commands run on several threads in Rust, so two messages sent at once could enter the queue in the wrong order.
 */
export function inOrder(): <T>(key: string, task: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (key, task) => {
    const before = last.get(key) ?? Promise.resolve();
    const done = before.then(task, task);
    last.set(key, done);
    const forget = (): void => {
      if (last.get(key) === done) last.delete(key);
    };
    done.then(forget, forget);
    return done;
  };
}
