/**
 * Loaded before everything in each Node under Wine: takes the place of tsx, whose compiler is a program
 * that Wine 8 cannot run, and of a socket option that Wine 8 does not know.
 */
import module from 'node:module';
import net from 'node:net';

type Resolve<T> = (specifier: string, context: T) => unknown;

/** Newer than the types of the oldest Node that this package supports. */
const { registerHooks } = module as unknown as {
  registerHooks(hooks: {
    resolve<T>(specifier: string, context: T, nextResolve: Resolve<T>): unknown;
  }): void;
};

net.Socket.prototype.setKeepAlive = function () {
  return this;
};

const { BITS_WINE_ESBUILD: esbuild = '' } = process.env;

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier === 'tsx') return { url: 'data:text/javascript,', shortCircuit: true };
    if (specifier === 'esbuild') return nextResolve(esbuild, context);
    try {
      return nextResolve(specifier, context);
    } catch (error) {
      // This Node removes types by itself, but looks for a file by the name that is written.
      const source = specifier.replace(/\.js(?=\?|$)/, '.ts');
      if (source === specifier) throw error;
      return nextResolve(source, context);
    }
  },
});
