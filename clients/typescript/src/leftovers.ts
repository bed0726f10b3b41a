const counts = { connections: 0, streams: 0, sessions: 0 };

/** Counts something that is open. The returned function counts it as closed, once. */
export function track(kind: keyof typeof counts): () => void {
  counts[kind] += 1;
  let isOpen = true;
  return () => {
    if (isOpen) counts[kind] -= 1;
    isOpen = false;
  };
}

/**
 * Numbers of the resources that all clients of this process have open, for tests that look for leaks. Node's own list,
 * `process.getActiveResourcesInfo()`, has timers, but not the sockets that do not keep the process alive.
 */
export function leftovers(): Readonly<typeof counts> {
  return { ...counts };
}
