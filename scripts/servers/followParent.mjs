// Loaded before a program (`node --import`) that must not outlive the process which started it with an IPC channel.
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"))
process.channel?.unref()
