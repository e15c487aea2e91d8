/// `chorale simulate`: whole networks in one process, under virtual time.
enum SimulateCommands {
    static let group = Command(
        "simulate", summary: "run whole networks of nodes in this process, under virtual time",
        discussion: """
            The nodes are those of the product, with real encryption and real bytes. Their clock, their randomness and the network \
            between them are simulated, and follow from a seed: whatever happens can be made to happen again.
            """,
        commands: [SimulateNetworkCommand.command, SimulateSigningCommand.command])
}
