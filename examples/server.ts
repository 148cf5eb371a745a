// What every example has in common: where it listens, and what it says on start.
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Layer } from "effect"
import { createServer } from "node:http"
import { pathToFileURL } from "node:url"

export const HttpServerLive = NodeHttpServer.layerConfig(() => createServer(), {
  port: Config.port("PORT").pipe(Config.withDefault(3000)),
  host: Config.string("HOST").pipe(Config.withDefault("127.0.0.1"))
})

/** Prints the address, and lines to try with it, once the server listens. */
export const announce = (lines: (url: string) => ReadonlyArray<string>) =>
  Layer.effectDiscard(
    HttpServer.addressFormattedWith((url) => Console.log(`\nListening on ${url}\n${lines(url).join("\n")}`))
  )

/** Runs a program until Ctrl-C, when its module is what node was started with, and not when a test imports it. */
export const runMain = <E>(module: ImportMeta, program: Layer.Layer<never, E>) => {
  if (process.argv[1] !== undefined && module.url === pathToFileURL(process.argv[1]).href) {
    NodeRuntime.runMain(Layer.launch(program))
  }
}
