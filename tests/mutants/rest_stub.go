package main
var wireMutants, loopMutants, gateMutants, aroundMutants []mutant
