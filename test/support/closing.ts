interface Closable {
  close(): unknown;
}

/** @returns what keeps a thing open until the end of the present test; what was kept last closes first */
export function closingAfterEach(): <T extends Closable>(thing: T) => T {
  const kept: Closable[] = [];
  afterEach(async () => {
    for (const thing of kept.splice(0).reverse()) await thing.close();
  });
  return (thing) => {
    kept.push(thing);
    return thing;
  };
}
