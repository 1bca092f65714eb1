// Opens the page of examples/web in Chromium and uses it; prints what it saw as JSON.
//
//   node drive_page.mjs PLAYWRIGHT CHROMIUM URL FRAMES SCREENSHOT
import { readFile } from "node:fs/promises";

const [playwright, executablePath, url, frames, screenshot] = process.argv.slice(2);
const { chromium } = await import(playwright);
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
});
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(url);
  const ready = () => document.getElementById("answer").textContent !== "loading ...";
  await page.waitForFunction(ready, null, { timeout: 120_000 });
  const text = (id) => page.locator(id).textContent();
  const seen = { errors, begun: await text("#answer"), refused: await text("#error") };
  if (frames) {
    const bytes = (await readFile(frames)).toString("base64");
    seen.answers = await page.evaluate(async (encoded) => {
      const ort = await import("onnxruntime-web");
      const { load } = await import("./edgeexit.mjs");
      const read = async (name) => new Uint8Array(await (await fetch(`bundle/${name}`)).arrayBuffer());
      const session = await load(ort, read);
      const pixels = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
      const answers = await session.infer(session.preprocess(pixels, 3));
      return answers.map(({ label, exit, confidence }) => [label, exit, confidence]);
    }, bytes);
    const box = await page.locator("#drawing").boundingBox();
    await page.mouse.move(box.x + 128, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 128, box.y + 210, { steps: 8 });
    await page.mouse.up();
    const drawn = () => document.getElementById("answer").textContent.includes("left at");
    await page.waitForFunction(drawn);
    const slide = async (value) => {
      await page.locator("#threshold-exit1").fill(value);
      await page.evaluate(() => new Promise((done) => setTimeout(done, 500)));
      return text("#answer");
    };
    seen.easy = await slide("0");
    await page.screenshot({ path: screenshot });
    await page.locator("#threshold-exit2").fill("1");
    seen.hard = await slide("1");
    seen.bold = await page.locator("tr.left").getAttribute("id");
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
