/** The end of a handle. It can be asked for twice, and is tried again only after it has failed. */
export class Ending {
  #ending: Promise<void> | undefined;

  get hasBegun(): boolean {
    return this.#ending !== undefined;
  }

  begin(end: () => Promise<void>): Promise<void> {
    this.#ending ??= end().catch((error: unknown) => {
      this.#ending = undefined;
      throw error;
    });
    return this.#ending;
  }
}
