# fish completion for pawl; made by "pawl completion fish".
function __pawl_complete
    set -l words (commandline -opc)
    command $words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c pawl -a '(__pawl_complete)'
