# Processes.
lab "processes" { duration = "10s" }
network "lan" { prefix = "10.1.0.0/16" }
node "a" {
  interface "lan" { network = network.lan }
  process "inside" {} # want: A process block stands by itself in the file, not in node "a".
}
node "b" {
  interface "lan" { network = network.lan }
}
process "good" {
  node    = node.a
  command = ["ping", "-c", "3", node.b.interface.lan.address]
  env     = { LANG = "C", _x1 = "" }
  stdin   = "hello\n"
  stop    = "5s"
  timeout = "2s"
}
process "each" {
  for_each = ["x", "y"]
  node     = node.b
  command  = ["echo", each.key]
  on       = { event = "process-exited", node = node.a }
  after    = "1s"
}
process "nothing" {} # want: Missing node # want: Missing command
process "empty" {
  node    = node.a
  command = [] # want: A command begins with a program
}
process "shell" {
  node    = node.a
  command = "ping -c 3" # want: command takes a list; write it in brackets
}
process "number" {
  node    = node.a
  command = ["ping", "-c", 3] # want: command takes strings; put it in quotes
}
process "zero" {
  node    = node.a
  command = ["printf", "a\u0000b"] # want: zero byte
  env     = { "1x" = "y" } # want: "1x" cannot name a variable
}
process "interface" {
  node    = node.a.interface.lan # want: node.a.interface.lan is a interface
  command = ["true"]
  env     = "A=b" # want: env takes an object of strings
}
process "late" {
  node    = node.a
  command = ["true"]
  start   = "11s" # want: Process beyond the lab's end
}
process "backwards" {
  node    = node.a
  command = ["true"]
  start   = "5s"
  stop    = "2s" # want: Process stops before it starts
}
process "beyond" {
  node    = node.a
  command = ["true"]
  stop    = "12s" # want: Process beyond the lab's end
}
process "both" {
  node    = node.a
  command = ["true"]
  start   = "1s"
  on      = { event = "node-started" } # want: start and on exclude each other
}
process "after" {
  node    = node.a
  command = ["true"]
  after   = "1s" # want: after is for on
}
process "event" {
  node    = node.a
  command = ["true"]
  on      = { event = "process-exit" } # want: Did you mean "process-exited"?
}
process "at" {
  node    = node.a
  command = ["true"]
  at      = "1s" # want: Here it is called "start"
}
expect "status" {
  condition = result.process.good.exit_status == 0 && process.good.timeout > duration("1s")
}
expect "output" {
  condition = strcontains(result.process.good.output, " 0% packet loss") && result.process.each["x"].error_output == ""
}
expect "parsed" {
  condition = jsondecode(result.process.good.output).end.bits > rate("1mbit")
}
expect "misspelt" {
  condition = result.process.good.status == 0 # want: There is no result "status" of a process
}
expect "times" {
  condition = result.process.good.duration < duration("1s") && result.process.good.started_at < duration("1s") && !result.process.good.running
}
