// What the compiler leaves: the page and its style.
import { cpSync } from 'node:fs';

for (const file of ['index.html', 'style.css']) {
  cpSync(`src/renderer/${file}`, `build/renderer/${file}`);
}
